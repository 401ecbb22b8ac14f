"""A real Apache Kafka for the tests: one that is given, or one of our own on ports that are free."""

import importlib.util
import os
import socket
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

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


class Broker:
    """An Apache Kafka that may be killed and started again. `bootstrap_servers` stay the same."""

    def __init__(self, run: ModuleType, data: Path) -> None:
        self._run = run
        self._port, controller_port = _free_ports(2)
        self._libs = self._run.HOME / "libs"
        self._run.java()
        self._run.fetch(self._libs)
        self._properties = self._run.configure(data, self._port, controller_port)
        self._run.format_storage(self._libs, self._properties)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

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
