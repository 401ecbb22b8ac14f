"""A deployment for tests: real `tierwise` processes on a database and a stream, used as their users use them."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import msgspec

from tests.support.database import SECRET_KEY, test_settings
from tierwise.db.engine import open_engine
from tierwise.db.migrate import migrate
from tierwise.db.roles import ROLES, present
from tierwise.domain.source import BACKEND
from tierwise.security.keys import DEFAULT_SCOPES, Created, create_read_key, create_write_key
from tierwise.security.personal import open_vault
from tierwise_profile_api.app import create_app

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 10.0

_EXEMPT = ("customer_id", "version", "classified_at")
"""What two runs over the same interactions need not agree on, beside lifecycle.since."""

View = dict[str, Any]


class Done(NamedTuple):
    """A command that ended."""

    status: int
    stdout: str
    stderr: str


class Service:
    """One running process. It ends with the tests, however they end."""

    def __init__(self, name: str, port: int, log: Path, process: asyncio.subprocess.Process) -> None:
        self.name, self.port, self.url = name, port, f"http://127.0.0.1:{port}"
        self._log, self._process = log, process

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        return self._log.read_text()

    async def ready(self) -> bool:
        """What /readyz says; False while nobody answers."""
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                return (await client.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def until_ready(self) -> None:
        async def up() -> bool:
            assert self._process.returncode is None, self.said()
            return await self.ready()

        await until(up, within_s=READY_WITHIN_S, told=self.said)

    async def kill(self) -> None:
        """As kill -9 and the kernel out of memory do."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit status. Raises TimeoutError when it takes longer than supervisors wait."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), STOPPED_WITHIN_S)


class Deployment:
    """One database and one stream. Make it with `deployed`."""

    def __init__(self, directory: Path, dsn: str, bootstrap_servers: str | None) -> None:
        self.directory, self.dsn, self.bootstrap_servers = directory, dsn, bootstrap_servers
        settings = test_settings(database_url=dsn, data_dir=directory / "data")
        self.settings = settings.model_copy(update={"kafka_bootstrap_servers": bootstrap_servers})
        self.services: list[Service] = []
        self.roles = False
        self._numbers = count(1)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")} | {
            "TIERWISE_DATABASE_URL": dsn,
            "TIERWISE_SECRET_KEY": SECRET_KEY,
            "TIERWISE_DATA_DIR": str(self.settings.data_dir),
        }
        if bootstrap_servers is not None:
            self._environment["TIERWISE_KAFKA_BOOTSTRAP_SERVERS"] = bootstrap_servers

    async def start(
        self, name: str, *, port: int | None = None, environment: Mapping[str, str] | None = None, **settings: Any
    ) -> Service:
        """`settings`: fields of Settings that differ from the defaults; `environment`: what is no setting. Returns
        when it is ready."""
        port = port or free_port()
        variable = f"TIERWISE_{name.replace('-', '_').upper()}_PORT"
        given = {"TIERWISE_DATABASE_URL": self.dsn_of(name)}
        given |= {f"TIERWISE_{setting.upper()}": str(value) for setting, value in settings.items()}
        log = self.directory / f"{name}-{next(self._numbers)}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tierwise_embedded.child", name),
                env=self._environment | given | {variable: str(port)} | dict(environment or {}),
                cwd=self.directory,
                stdin=asyncio.subprocess.PIPE,  # held open, never written to: it ends with us
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        service = Service(name, port, log, process)
        self.services.append(service)
        await service.until_ready()
        return service

    def dsn_of(self, service: str) -> str:
        """By its own role, which may do no more than it has to, where there are roles."""
        role = getattr(ROLES, service.replace("-", "_"))
        return self.dsn.replace("//tierwise@", f"//{role}@", 1) if self.roles else self.dsn

    async def start_all(self, *names: str, **settings: Any) -> list[Service]:
        """All at once; the services in the order of `names`."""
        return list(await asyncio.gather(*(self.start(name, **settings) for name in names)))

    async def scoring(self, workers: int, **settings: Any) -> list[Service]:
        """Workers that have divided the partitions among themselves."""
        started = await self.start_all(*["scoring"] * workers, **settings)
        for one in started:
            await until(lambda one=one: _holds(one), within_s=READY_WITHIN_S, told=one.said)  # type: ignore[misc]
        return started

    async def run(self, *arguments: str) -> Done:
        """The command `tierwise` with these arguments."""
        process = await self.spawn(*arguments)
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, stdout.decode(), stderr.decode())

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        """The same, running."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from tierwise.cli import main; main()", *arguments),
            env=self._environment,
            cwd=self.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def succeed(self, *arguments: str) -> str:
        """What a command prints that must not fail."""
        done = await self.run(*arguments)
        assert done.status == 0, done.stderr + self.said()
        return done.stdout

    async def write_key(self, source: str) -> Mapping[str, str]:
        """Headers with a new key."""
        async with open_engine(self.settings) as engine, engine.begin() as connection:
            vault = await open_vault(connection, self.settings)
            return _bearer(await create_write_key(connection, vault, source=source, trust=BACKEND))

    async def read_key(self, reader: str, scopes: Sequence[str] = DEFAULT_SCOPES) -> Mapping[str, str]:
        """Headers with a new key."""
        async with open_engine(self.settings) as engine, engine.begin() as connection:
            vault = await open_vault(connection, self.settings)
            return _bearer(await create_read_key(connection, vault, name=reader, scopes=scopes))

    async def export(self) -> list[View]:
        """Every customer's current view, as GET /v1/export streams it."""
        app = create_app(self.settings)
        headers = await self.read_key("export")
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://profile-api") as client,
        ):
            response = await client.get("/v1/export", headers=headers)
        assert response.status_code == 200, response.text
        return [msgspec.json.decode(line) for line in response.content.splitlines()]

    def said(self) -> str:
        """What all services logged, for the message of a test that fails."""
        return "\n".join(f"--- {service.name}\n{service.said()}" for service in self.services)


@asynccontextmanager
async def deployed(directory: Path, dsn: str, bootstrap_servers: str | None = None) -> AsyncIterator[Deployment]:
    """On a migrated database, and on topics of its own where there is a broker."""
    deployment = Deployment(directory, dsn, bootstrap_servers)
    async with open_engine(deployment.settings) as engine:
        if bootstrap_servers is not None:
            await migrate(deployment.settings, engine)
        async with engine.connect() as connection:
            deployment.roles = set(await present(connection)) == set(ROLES)
    try:
        yield deployment
    finally:
        orderly = await asyncio.gather(*(_ended(service) for service in deployment.services))
    assert all(orderly), f"not all ended within {STOPPED_WITHIN_S:.0f} s of SIGTERM: {orderly}{deployment.said()}"


async def until(
    holds: Callable[[], Awaitable[bool]], *, within_s: float, told: Callable[[], str] = str, every_s: float = 0.05
) -> None:
    """Until it holds; fails with what `told` answers."""
    deadline = monotonic() + within_s
    while not await holds():
        assert monotonic() < deadline, told()
        await asyncio.sleep(every_s)


def comparable(views: Sequence[View]) -> list[bytes]:
    """In no order, without what two runs over the same interactions need not agree on."""
    lines = []
    for view in views:
        kept = {name: value for name, value in view.items() if name not in _EXEMPT}
        kept["lifecycle"] = {name: value for name, value in view["lifecycle"].items() if name != "since"}
        lines.append(msgspec.json.encode(kept, order="sorted"))
    return sorted(lines)


def spent(views: Sequence[View]) -> Decimal:
    return sum((Decimal(view["orders"]["amount"]) for view in views), Decimal(0))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bearer(created: Created) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {created.secret}"}


async def _holds(worker: Service) -> bool:
    """Whether it was given partitions."""
    return re.search(r"partitions_assigned.*partitions=\[\d", worker.said()) is not None


async def _ended(service: Service) -> bool:
    """Whether SIGTERM was enough; it is gone in any case."""
    try:
        await service.stop()
    except TimeoutError:
        await service.kill()
        return False
    return True
