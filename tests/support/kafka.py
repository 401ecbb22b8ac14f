"""A real Apache Kafka for the tests: one that is given, or one of our own on ports that are free."""

import importlib.util
import os
import socket
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.authority import Authority, authority

GIVEN = os.environ.get("TIERWISE_TEST_KAFKA_BOOTSTRAP_SERVERS")
"""Read at import: the suite's environment is cleared of settings. Tests that stop the broker are skipped on it."""

_RUN = Path(__file__).parents[2] / "deploy" / "kafka" / "run.py"


def _load_run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tierwise_local_kafka", _RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


USER, PASSWORD = "tierwise", "the-password-of-the-tests"

_SECURE = """\
listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={authority.server}
ssl.truststore.type=PEM
ssl.truststore.location={authority.certificate}
"""  # noqa: E501  (later lines go before those of `configure`)


class Broker:
    """An Apache Kafka that may be killed and started again. `bootstrap_servers` stay the same, and so do those of its
    listeners with SASL_SSL (`secure_servers`: SCRAM-SHA-512, PLAIN) and with clients' certificates (`mutual_servers`).
    """

    def __init__(self, run: ModuleType, data: Path) -> None:
        self._run = run
        self._port, self._secure, self._mutual, controller_port = _free_ports(4)
        self.authority: Authority = authority(data)
        self._libs = self._run.HOME / "libs"
        self._run.java()
        self._run.fetch(self._libs)
        self._properties = self._run.configure(data, self._port, controller_port)
        with self._properties.open("a") as properties:
            properties.write(
                _SECURE.format(
                    port=self._port,
                    secure=self._secure,
                    mutual=self._mutual,
                    controller=controller_port,
                    authority=self.authority,
                    user=USER,
                    password=PASSWORD,
                )
            )
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        self._run.format_storage(self._libs, self._properties, "--add-scram", scram)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def secure_servers(self) -> str:
        return f"127.0.0.1:{self._secure}"

    @property
    def mutual_servers(self) -> str:
        return f"127.0.0.1:{self._mutual}"

    def start(self) -> None:
        self._process = self._run.start(self._libs, self._properties)
        self._run.wait_until_ready(self._process, self._port)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._run.stop(self._process)
            self._process = None


def start_broker(data: Path) -> Broker:
    """Skips the test where Java or Maven is missing, except with CI=true, where that is a failure."""
    run = _load_run()
    try:
        broker = Broker(run, data)
    except run.CannotRun as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Apache Kafka here: {error}")
    broker.start()
    return broker


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
