"""`tierwise up`: the database brought to this version, then every service of one machine."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
from rich.console import Console
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.addresses import addresses, url_of
from tierwise.db.engine import open_engine
from tierwise.db.migrate import migrate
from tierwise.problem import Problem
from tierwise.settings import Settings
from tierwise_embedded.supervise import Supervisor, supervised

SERVICES = ("ingest", "scoring", "profile-api")
_STYLES = {"ingest": "cyan", "scoring": "magenta", "profile-api": "green"}
_NAME_WIDTH = max(map(len, SERVICES))

Work = Callable[[AsyncEngine], Awaitable[None]]


class PortsTaken(Problem):
    status, code, title = 409, "ports_taken", "Ports are in use"


async def up(settings: Settings, console: Console, *, work: Work | None = None) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; `work` is awaited meanwhile once all are ready.

    Raises PortsTaken before anything is started, and what `migrate` raises.
    """
    check_ports(settings)
    running: list[Supervisor] = []
    serving = asyncio.create_task(_serve(settings, console, work, running))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if serving.cancelling():  # the second time: at once
            for supervisor in running:
                supervisor.kill()
            return
        console.print("Stopping ...", style="bold")
        serving.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await serving
    except asyncio.CancelledError:
        console.print("Stopped.", style="bold")


def check_ports(settings: Settings) -> None:
    """Raises PortsTaken naming every port that somebody listens on."""
    taken = []
    for service, (host, port) in addresses(settings).items():
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                taken.append(f"{host}:{port} (TIERWISE_{service.replace('-', '_').upper()}_PORT)")
    if taken:
        raise PortsTaken(
            f"already in use: {', '.join(taken)}. Stop what listens there (another `tierwise up`?), or set another port"
        )


async def _serve(settings: Settings, console: Console, work: Work | None, running: list[Supervisor]) -> None:
    if settings.database_url is None:
        console.print(f"Starting; data is kept in {settings.data_dir.absolute()}", highlight=False)
    # Held open by us: children that die and come back find the embedded database running.
    async with open_engine(settings) as engine:
        await migrate(settings, engine)
        environment = dict(os.environ)
        if work is not None and "log_level" not in settings.model_fields_set:
            environment["TIERWISE_LOG_LEVEL"] = "warning"  # the demo has something to show
        async with supervised(SERVICES, tell=_teller(console), environment=environment) as supervisor:
            running.append(supervisor)
            await _all_ready(settings)
            if work is not None:
                await work(engine)
            else:
                _announce(settings, console)
            await asyncio.Event().wait()


def _teller(console: Console) -> Callable[[str, str], None]:
    def tell(service: str, line: str) -> None:
        text = Text(f"{service:<{_NAME_WIDTH}} | ", style=_STYLES.get(service, ""))
        console.print(text.append(line, style="default"), highlight=False, soft_wrap=True)

    return tell


async def _all_ready(settings: Settings) -> None:
    """Until every service says so; what keeps one from it stands in its log."""
    async with httpx.AsyncClient(timeout=5) as client:
        for service, (_, port) in addresses(settings).items():
            if port:
                await _ready(client, url_of(service, settings))


async def _ready(client: httpx.AsyncClient, url: str) -> None:
    while True:
        with suppress(httpx.TransportError):
            if (await client.get(f"{url}/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.1)


def _announce(settings: Settings, console: Console) -> None:
    console.print("Ready.", style="bold green")
    console.print(f"  ingest       {url_of('ingest', settings)}/v1/interactions", highlight=False)
    console.print(f"  profile API  {url_of('profile-api', settings)}/docs", highlight=False)
    console.print(
        "  A write key: `tierwise key create --source NAME`; a read key: `tierwise key create --reader NAME`. "
        "Ctrl-C stops everything.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
