"""`tierwise up` as its users run it: from nothing, on the embedded default, in processes of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

READY_WITHIN_S = 60
VISIBLE_WITHIN_S = 10
STOPPED_WITHIN_S = 10


class Up:
    """A `tierwise up` on free ports and a data directory of its own."""

    process: subprocess.Popen[bytes]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "up.log"
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            for probe in (one, two, three):
                probe.bind(("127.0.0.1", 0))
            ports = [probe.getsockname()[1] for probe in (one, two, three)]
        self.ingest, self.api = (f"http://127.0.0.1:{port}" for port in ports[:2])
        self.environment = os.environ | {
            "TIERWISE_DATA_DIR": str(directory / "data"),
            "TIERWISE_INGEST_PORT": str(ports[0]),
            "TIERWISE_PROFILE_API_PORT": str(ports[1]),
            "TIERWISE_SCORING_PORT": str(ports[2]),
        }

    def start(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command("up", *arguments),
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self._command(*arguments)
        return subprocess.run(
            command, env=self.environment, cwd=self.directory, capture_output=True, text=True, check=False
        )

    def key(self, *arguments: str) -> dict[str, str]:
        """Headers with a new key."""
        done = self.run("key", "create", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return {"Authorization": f"Bearer {json.loads(done.stdout)['secret']}"}

    def said(self) -> str:
        return self.log.read_text()

    def pids(self, service: str) -> list[int]:
        """Of every process that the service has had, the newest last."""
        return [int(pid) for pid in re.findall(rf"^{service} *\| started as process (\d+)$", self.said(), re.MULTILINE)]

    def postgres(self) -> int:
        """The process of the embedded PostgreSQL."""
        return int((self.directory / "data" / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    def until(self, holds: Callable[[], bool], *, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def until_said(self, text: str, *, within_s: float = READY_WITHIN_S) -> None:
        self.until(lambda: text in self.said() or self.process.poll() is not None, within_s=within_s)
        assert text in self.said(), self.said()

    def until_gone(self, pid: int, *, within_s: float) -> None:
        self.until(lambda: not _alive(pid), within_s=within_s)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOPPED_WITHIN_S)

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", "from tierwise.cli import main; main()", *arguments]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tierwise-up-"))
    path.chmod(0o711)  # where we are root the database runs as another user
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def up(directory: Path) -> Iterator[Up]:
    up = Up(directory)
    up.start()
    yield up
    if up.process.poll() is None:
        up.process.send_signal(signal.SIGTERM)
        up.process.wait(30)


def purchase(number: int) -> dict[str, object]:
    return {
        "id": f"ord-{number}",
        "channel": "order",
        "type": "purchase",
        "identifiers": {"email": "li@example.com"},
        "properties": {"amount": "1299.00", "currency": "CNY"},
    }


def orders(up: Up, read: dict[str, str]) -> int:
    """How many orders the profile API knows of."""
    try:
        response = httpx.get(f"{up.api}/v1/customers/by/email/li@example.com", headers=read, timeout=5)
    except httpx.TransportError:
        return -1
    return int(response.json()["orders"]["count"]) if response.status_code == 200 else 0


def test_an_interaction_travels_the_whole_way_and_whatever_dies_comes_back(up: Up) -> None:
    up.until_said("Ready.")
    write, read = up.key("--source", "shop"), up.key("--reader", "test")
    response = httpx.post(f"{up.ingest}/v1/interactions", headers=write, json=purchase(1))
    assert response.status_code == 202, response.text
    up.until(lambda: orders(up, read) == 1, within_s=VISIBLE_WITHIN_S)

    for number, service in enumerate(("scoring", "ingest", "profile-api"), 2):
        (killed,) = up.pids(service)
        os.kill(killed, signal.SIGKILL)
        up.until(lambda service=service: len(up.pids(service)) == 2, within_s=10)  # type: ignore[misc]
        assert "killed by SIGKILL" in up.said()
        up.until(lambda: _taken(up, write, number), within_s=READY_WITHIN_S)  # noqa: B023  (called at once)
        up.until(lambda: orders(up, read) == number, within_s=READY_WITHIN_S)  # noqa: B023

    os.kill(up.postgres(), signal.SIGKILL)
    up.until_said("embedded_database_died", within_s=10)
    up.until(lambda: _taken(up, write, 5), within_s=READY_WITHIN_S)
    up.until(lambda: orders(up, read) == 5, within_s=READY_WITHIN_S)
    assert [len(up.pids(service)) for service in ("ingest", "scoring", "profile-api")] == [2, 2, 2]

    children = [up.pids(service)[-1] for service in ("ingest", "scoring", "profile-api")]
    assert up.stop() == 0
    assert not any(_alive(pid) for pid in children)
    assert not (up.directory / "data" / "postgres" / "postmaster.pid").exists()
    assert "Traceback" not in up.said()


def _taken(up: Up, write: dict[str, str], number: int) -> bool:
    try:
        response = httpx.post(f"{up.ingest}/v1/interactions", headers=write, json=purchase(number), timeout=5)
    except httpx.TransportError:
        return False
    return response.status_code == 202


def test_an_import_that_waits_returns_when_the_customers_are_there(up: Up) -> None:
    up.until_said("Ready.")
    file = up.directory / "orders.csv"
    rows = [f"2026-01-0{day}T12:00:00Z,order,purchase,li@example.com,10.00" for day in (1, 2, 2, 3)]
    file.write_text("\n".join(["time,channel,type,identifiers.email,properties.amount", *rows]))
    for _ in range(2):
        done = up.run("import", str(file), "--source", "shop", "--wait")
        assert done.returncode == 0, done.stderr
        assert orders(up, up.key("--reader", "test")) == 4


def test_children_do_not_outlive_a_parent_that_is_killed(up: Up) -> None:
    up.until_said("Ready.")
    children = [up.pids(service)[0] for service in ("ingest", "scoring", "profile-api")]
    up.process.kill()
    up.process.wait()
    for child in children:
        up.until_gone(child, within_s=12)


def test_ports_in_use_are_named_before_anything_is_started(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up = Up(directory)
        up.environment["TIERWISE_INGEST_PORT"] = port = str(taken.getsockname()[1])
        done = up.run("up")
    assert done.returncode == 1
    assert f"127.0.0.1:{port} (TIERWISE_INGEST_PORT)" in done.stderr
    assert "TIERWISE_PROFILE_API_PORT" not in done.stderr
    assert not (directory / "data" / "postgres").exists()
