"""A local Apache Kafka: one node, KRaft, loopback only. `make kafka` runs it until Ctrl-C.

The jars come through Maven once (about 45 MB) and stay under `.tierwise/kafka/libs`; the log stays under
`.tierwise/kafka/data`. Needs Java 17 or newer, and Maven for the first time.
"""

import argparse
import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = HERE.parent.parent / ".tierwise" / "kafka"
JAVA_VERSION_MIN = 17
READY_TIMEOUT_S = 60


class CannotRun(Exception):  # noqa: N818
    """Something that the machine lacks; the message says what to do about it."""


def java() -> str:
    """The `java` to run. Raises CannotRun when there is none, or an older one than Kafka's brokers need."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which("java")
    if found is None:
        raise CannotRun(f"Apache Kafka needs Java {JAVA_VERSION_MIN} or newer: install a JRE, or set JAVA_HOME.")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_VERSION_MIN:
        first = said.splitlines()[0] if said else "no version"
        raise CannotRun(f"Apache Kafka needs Java {JAVA_VERSION_MIN} or newer; {found} says: {first}")
    return found


def fetch(libs: Path) -> None:
    """Copy Kafka's jars to `libs` unless they are there. Raises CannotRun when Maven is missing or fails."""
    done = libs / ".done"
    pom = HERE / "pom.xml"
    if done.exists() and done.read_text() == pom.read_text():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise CannotRun("Fetching Apache Kafka needs Maven (mvn) on the PATH, once.")
    print(
        f"Fetching Apache Kafka through Maven to {libs} (45 MB, about a minute) ...",
        file=sys.stderr,
        flush=True,
    )
    shutil.rmtree(libs, ignore_errors=True)
    libs.mkdir(parents=True)
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
    outcome = subprocess.run([maven, "-q", "-B", "-f", str(pom), *copy], check=False)  # noqa: S603
    if outcome.returncode != 0:
        raise CannotRun("Maven could not fetch Apache Kafka; what it said stands above.")
    done.write_text(pom.read_text())


def configure(data: Path, port: int, controller_port: int) -> Path:
    """Write the broker's settings and answer their path."""
    data.mkdir(parents=True, exist_ok=True)
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data / "log",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "auto.create.topics.enable": "false",
        # A group's first member need not wait for others on one machine.
        "group.initial.rebalance.delay.ms": 0,
        # A topic that is deleted goes at once, and its name is free.
        "log.segment.delete.delay.ms": 1000,
    }
    path = data / "server.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return path


def _command(libs: Path, main: str, *arguments: str, scratch: Path, memory: str) -> list[str]:
    options = [
        f"-Xmx{memory}",
        "-XX:+UseG1GC",
        f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
        f"-Djava.io.tmpdir={scratch}",  # a broker that is killed leaves unpacked libraries behind
    ]
    return [java(), *options, "-cp", f"{libs}/*", main, *arguments]


def format_storage(libs: Path, properties: Path, *further: str) -> None:
    """Give the log directory its cluster id, once. `further`: options of Kafka's tool. Raises CannotRun when it
    refuses."""
    if (properties.parent / "log" / "meta.properties").exists():
        return
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    named = f"--cluster-id={cluster_id}"  # in one word: it may begin with "-"
    how = ("format", "--standalone", named, "--config", str(properties), *further)
    tool = _command(libs, "kafka.tools.StorageTool", *how, scratch=properties.parent, memory="128m")
    outcome = subprocess.run(tool, capture_output=True, text=True, check=False)  # noqa: S603
    if outcome.returncode != 0:
        raise CannotRun(f"Kafka could not format {properties.parent}:\n{outcome.stdout}{outcome.stderr}")


def start(libs: Path, properties: Path, *, memory: str = "512m") -> subprocess.Popen[bytes]:
    """Run the broker as a child, in a session of its own so that Ctrl-C reaches it through us alone."""
    return subprocess.Popen(  # noqa: S603
        _command(libs, "kafka.Kafka", str(properties), scratch=properties.parent, memory=memory),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )


def wait_until_ready(broker: "subprocess.Popen[bytes]", port: int, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Return when the broker accepts connections. Raises CannotRun when it ends or takes longer."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if broker.poll() is not None:
            raise CannotRun(f"Kafka ended with code {broker.returncode}; what it said stands above.")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise CannotRun(f"Kafka did not listen on 127.0.0.1:{port} within {timeout_s:.0f} s.")


def stop(broker: "subprocess.Popen[bytes]", timeout_s: float = 30) -> None:
    """Stop cleanly; when that takes too long, at once."""
    if broker.poll() is None:
        broker.terminate()
        try:
            broker.wait(timeout_s)
        except subprocess.TimeoutExpired:
            broker.kill()
            broker.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="A local Apache Kafka on loopback.")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--controller-port", type=int, default=9093)
    parser.add_argument("--data", type=Path, default=HOME / "data")
    parser.add_argument("--libs", type=Path, default=HOME / "libs")
    arguments = parser.parse_args()
    # A terminal's hang-up and a supervisor's stop end it as Ctrl-C does.
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    broker = None
    try:
        java()
        fetch(arguments.libs)
        properties = configure(arguments.data, arguments.port, arguments.controller_port)
        format_storage(arguments.libs, properties)
        broker = start(arguments.libs, properties)
        wait_until_ready(broker, arguments.port)
        print(
            f"Apache Kafka listens on 127.0.0.1:{arguments.port}; Ctrl-C stops it.",
            file=sys.stderr,
            flush=True,
        )
        return broker.wait()
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopping Apache Kafka ...", file=sys.stderr, flush=True)
        return 0
    finally:
        if broker is not None:
            stop(broker)


if __name__ == "__main__":
    sys.exit(main())
