"""The command `tierwise top`."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from tierwise.addresses import url_of
from tierwise.settings import Settings
from tierwise.top.frame import frame
from tierwise.top.look import Between, look
from tierwise.top.words import Language

_ONCE_S: Final = 1.0

_Urls = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help="Where it serves, instead of where the settings say; once for each process."),
]


def register(app: typer.Typer) -> None:
    @app.command()
    def top(
        ingest: _Urls = None,
        scoring: _Urls = None,
        profile_api: _Urls = None,
        every: Annotated[float, typer.Option(min=0.5, help="Seconds from one frame to the next.")] = 2.0,
        once: Annotated[bool, typer.Option("--once", help="Look for a second, print one frame.")] = False,
        language: Annotated[Language | None, typer.Option(help="en or zh; else by LANG.")] = None,
    ) -> None:
        """Watch throughput, lag, freshness and errors of the services, until Ctrl-C."""
        settings = Settings()
        given = {"ingest": ingest, "scoring": scoring, "profile-api": profile_api}
        urls = {service: found or [url_of(service, settings)] for service, found in given.items()}
        console = Console(highlight=False)
        spoken: Language = language or ("zh" if os.environ.get("LANG", "").startswith("zh") else "en")
        with suppress(KeyboardInterrupt):
            asyncio.run(_watch(console, urls, spoken, None if once or not sys.stdout.isatty() else every))


async def _watch(
    console: Console, urls: Mapping[str, Sequence[str]], language: Language, every_s: float | None
) -> None:
    """`every_s` None: one frame. Raises NotMetrics."""
    before = await look(urls)
    await asyncio.sleep(_ONCE_S)
    between = Between(before, await look(urls))
    if every_s is None:
        console.print(frame(between, language=language, clock=_clock()))
        return
    with Live(frame(between, language=language, clock=_clock()), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every_s)
            between = Between(between.now, await look(urls))
            live.update(frame(between, language=language, clock=_clock()), refresh=True)


def _clock() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"
