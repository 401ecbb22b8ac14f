"""The command `tierwise up`."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.settings import Settings
from tierwise.telemetry import configure_logging
from tierwise_embedded.up import up


def register(app: typer.Typer) -> None:
    app.command("up")(up_)


def up_(
    demo: Annotated[bool, typer.Option("--demo", help="Pour sample traffic in and show what changes")] = False,
) -> None:
    """Migrate, then run ingest, scoring and profile API together; Ctrl-C stops all.

    Embedded unless TIERWISE_DATABASE_URL and TIERWISE_KAFKA_BOOTSTRAP_SERVERS say otherwise.
    """
    settings = Settings()
    configure_logging(settings)
    bars = Console(stderr=True)
    # On a terminal everything through one console, so that lines don't run into the bar.
    console = bars if bars.is_terminal and sys.stdout.isatty() else Console()

    async def run_demo(engine: AsyncEngine) -> None:
        from tierwise_embedded.demo import Demo  # which reads files, and brings Arrow with it

        await Demo(settings, engine, console, bars).run()

    asyncio.run(up(settings, console, work=run_demo if demo else None))
