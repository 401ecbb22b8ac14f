"""The product as a deployment runs it: every part a process of its own, started again by a supervisor when it ends."""

import asyncio
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic
from typing import Final

import httpx
import psutil  # type: ignore[import-untyped]
from pydantic import SecretStr

from tests.support.database import SECRET_KEY, test_settings
from tests.support.kafka import Broker, start_broker
from tests.support.services import free_port
from tierwise import cli
from tierwise.db.embedded import EmbeddedPostgres
from tierwise.db.engine import open_engine
from tierwise.db.migrate import migrate
from tierwise.settings import Settings

SERVICES: Final = {"ingest": "ingest", "scoring-1": "scoring", "scoring-2": "scoring", "profile-api": "profile-api"}
"""Name of a process -> the command that it runs."""

BACK_WITHIN_S: Final = 90.0
_RESTART_PAUSE_S: Final = 0.2
_STOP_WITHIN_S: Final = 10.0


class NotBack(Exception):  # noqa: N818
    """A part did not recover by itself; what the services said last stands in the message."""


_FORKS: Final = multiprocessing.get_context("forkserver")
"""Services are forked from a process that has imported them: what is under fire is their work and not Python's imports,
which would be most of the time between two kills."""
_FORKS.set_forkserver_preload([__name__, "tierwise_ingest.app", "tierwise_scoring.service", "tierwise_profile_api.app"])


class Service:
    """One process, kept running until `stop`. `ended`: how often it ended although nobody killed it."""

    def __init__(self, name: str, log: Path, environment: Mapping[str, str], port: int) -> None:
        self.name, self.url, self.ended = name, f"http://127.0.0.1:{port}", 0
        self._log, self._environment = log, dict(environment)
        self._pid: int | None = None
        self._killed = self._stopping = False

    async def keep(self) -> None:
        while not self._stopping:
            process = _FORKS.Process(target=_serve, args=(SERVICES[self.name], self._environment, self._log))
            process.start()
            self._pid = process.pid
            await _ended(process.sentinel)
            self._pid = None
            process.join()
            self.ended += not (self._killed or self._stopping)
            self._killed = False
            await asyncio.sleep(_RESTART_PAUSE_S)

    def kill(self) -> None:
        if self._pid is not None:
            self._killed = True
            _signal(self._pid, signal.SIGKILL)

    async def stop(self) -> None:
        self._stopping = True
        if self._pid is not None:
            _signal(self._pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                while self._pid is not None:  # noqa: ASYNC110  (`keep` sees it)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self.kill()

    async def ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        """Its last words."""
        return f"--- {self.name}\n{self._log.read_bytes()[-4_000:].decode(errors='replace')}"


class System:
    """Make it with `running`. `broker`: None on the embedded stream."""

    def __init__(self, settings: Settings, server: EmbeddedPostgres, broker: Broker | None, directory: Path) -> None:
        self.settings, self._server, self._broker = settings, server, broker
        environment = _environment(settings)
        self.services: dict[str, Service] = {}
        for name, command in SERVICES.items():
            port = free_port()
            variable = f"TIERWISE_{command.upper().replace('-', '_')}_PORT"
            log = directory / f"{name}.log"
            self.services[name] = Service(name, log, environment | {variable: str(port)}, port)

    async def kill(self, part: str) -> None:
        """As kill -9. PostgreSQL and Kafka are started again at once; a service by its supervisor."""
        if part == "postgres":
            await self._kill_postgres()
        elif part == "kafka":
            assert self._broker is not None
            await asyncio.to_thread(self._broker.kill)
            await asyncio.to_thread(self._broker.start)
        elif part == "relay":
            self.services["scoring-1"].kill()
            self.services["scoring-2"].kill()
        else:
            self.services[part].kill()

    async def back(self) -> float:
        """Until every service is ready. Returns how many seconds that took. Raises NotBack."""
        began = monotonic()
        async with httpx.AsyncClient(timeout=5) as client:
            while not all([await one.ready(client) for one in self.services.values()]):
                if monotonic() - began > BACK_WITHIN_S:
                    raise NotBack(f"not ready after {BACK_WITHIN_S:.0f} s\n{self.said()}")
                await asyncio.sleep(0.05)
        return monotonic() - began

    def said(self) -> str:
        return "\n".join(one.said() for one in self.services.values())

    def ended(self) -> list[str]:
        """The services that ended although nobody killed them, since this was asked last."""
        found = [name for name, one in self.services.items() for _ in range(one.ended)]
        for one in self.services.values():
            one.ended = 0
        return found

    async def _kill_postgres(self) -> None:
        """The postmaster and all its processes at the same moment, as when the machine loses power, but for what the
        kernel has to write."""
        postmaster = psutil.Process(self._server.postmaster_pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            _signal(process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._server.revive)


@asynccontextmanager
async def running(stream: str, directory: Path) -> AsyncIterator[System]:
    """`stream`: embedded or kafka. Data stays under `directory`, where a later run goes on."""
    async with AsyncExitStack() as stack:
        server = EmbeddedPostgres(directory)
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        broker = None
        if stream == "kafka":
            broker = await asyncio.to_thread(start_broker, directory / "kafka")
            stack.push_async_callback(asyncio.to_thread, broker.stop)
        settings = test_settings(database_url=server.dsn, data_dir=directory)
        settings = settings.model_copy(update={"kafka_bootstrap_servers": broker and broker.bootstrap_servers})
        async with open_engine(settings) as engine:
            await migrate(settings, engine)
        system = System(settings, server, broker, directory)
        keepers = [asyncio.create_task(one.keep()) for one in system.services.values()]
        try:
            await system.back()
            yield system
        finally:
            await asyncio.gather(*(one.stop() for one in system.services.values()))
            await asyncio.gather(*keepers)


def _environment(settings: Settings) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
    assert isinstance(settings.database_url, SecretStr)
    own |= {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": SECRET_KEY,
        "TIERWISE_DATA_DIR": str(settings.data_dir),
        "TIERWISE_STREAM_PARTITIONS": str(settings.stream_partitions),
    }
    if settings.kafka_bootstrap_servers is not None:
        own["TIERWISE_KAFKA_BOOTSTRAP_SERVERS"] = settings.kafka_bootstrap_servers
    return own


def _serve(command: str, environment: Mapping[str, str], log: Path) -> None:
    """In a process of its own: the command `tierwise`."""
    os.setsid()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(log.parent)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = ["tierwise", command]
    cli.main()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


async def _ended(sentinel: int) -> None:
    """Until the process of this sentinel has."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sentinel)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def parts_of(stream: str) -> Sequence[str]:
    """Those of `System.parts`, without a system."""
    return [*SERVICES, "postgres", "relay", *(["kafka"] if stream == "kafka" else [])]


def kafka_version() -> str:
    """Of the broker that would run."""
    pom = (Path(__file__).parents[2] / "deploy" / "kafka" / "pom.xml").read_text()
    found = re.search(r"<artifactId>kafka_\S+</artifactId>\s*<version>(.+)</version>", pom)
    return found[1] if found else "of unknown version"
