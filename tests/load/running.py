"""What benchmarks run on: a directory, a broker and service processes of their own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.load.bench import Unmeasurable
from tests.support.kafka import Broker, start_broker
from tierwise.settings import Settings


@contextmanager
def own_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tierwise-load-", ignore_cleanup_errors=True) as directory:
        path = Path(directory)
        path.chmod(0o711)  # where we are root the database runs as another user
        yield path


@contextmanager
def own_broker(data: Path) -> Iterator[Broker]:
    """Raises Unmeasurable where there is no Java or Maven."""
    try:
        broker = start_broker(data)
    except pytest.skip.Exception as skipped:
        raise Unmeasurable(str(skipped)) from skipped
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def own_process(service: str, settings: Settings, *arguments: str) -> Iterator[psutil.Process]:
    """The command `tierwise SERVICE`, once it is ready, on the port that the settings name."""
    port = {
        "ingest": settings.ingest_port,
        "scoring": settings.scoring_port,
        "profile-api": settings.profile_api_port,
    }[service]
    environment = {
        "PATH": "/usr/bin:/bin",
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value() if settings.database_url else "",
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
        "TIERWISE_DATA_DIR": str(settings.data_dir),
        "TIERWISE_LOG_LEVEL": "warning",
        f"TIERWISE_{service.upper().replace('-', '_')}_PORT": str(port),
    }
    if settings.kafka_bootstrap_servers:
        environment["TIERWISE_KAFKA_BOOTSTRAP_SERVERS"] = settings.kafka_bootstrap_servers
    command = [sys.executable, "-c", "from tierwise.cli import main; main()", service, *arguments]
    process = subprocess.Popen(command, env=environment, cwd=settings.data_dir)
    try:
        until_ready(process, f"http://127.0.0.1:{port}/readyz")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def cpu_seconds(process: psutil.Process) -> float:
    """What it and its children have taken."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError("the service ended at once; what it said stands above")
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not become ready")
