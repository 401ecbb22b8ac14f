"""The command `tierwise ingest`."""

import asyncio
import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Final

import typer
import uvicorn
import uvloop
from fastapi import FastAPI

from tierwise.settings import Settings
from tierwise.telemetry import configure_logging
from tierwise_ingest.app import create_app
from tierwise_ingest.importing.command import register as register_import

DRAIN_S: Final = 8
"""For requests under way when told to stop."""

KEEP_ALIVE_S: Final = 75
"""Longer than load balancers keep an idle connection (60 s mostly), so that it is they who close it."""


def register(app: typer.Typer) -> None:
    register_import(app)

    @app.command()
    def ingest(
        workers: Annotated[int, typer.Option(min=1, help="Processes that share the port; one a core.")] = 1,
    ) -> None:
        """Take interactions over HTTP and put them on the stream."""
        settings = Settings()
        configure_logging(settings)
        if workers > 1:
            uvicorn.run("tierwise_ingest.commands:app_of_environment", factory=True, workers=workers, **_how(settings))
        else:
            uvloop.run(_until_signalled(settings))


async def serve(settings: Settings) -> None:
    """Serve until cancelled; then take nothing new, and end what is under way. Raises what repeating would not
    mend: VaultError, EmbeddedDatabaseError."""
    app = create_app(settings)
    leave_to_the_collector_what_is_new()
    # The lifespan is entered here, so that its errors are raised and not only logged.
    server = _Server(uvicorn.Config(app, lifespan="off", **_how(settings)))
    async with app.router.lifespan_context(app):
        serving = asyncio.create_task(server.serve())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise


def app_of_environment() -> FastAPI:
    """For each of several processes, which have nothing but the environment."""
    settings = Settings()
    configure_logging(settings)
    app = create_app(settings)
    leave_to_the_collector_what_is_new()
    return app


def leave_to_the_collector_what_is_new() -> None:
    """Modules and their like are never garbage: walking them with each full collection cost 15 % of the CPU time
    of batches of 500."""
    gc.collect()
    gc.freeze()


def _how(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.ingest_host,
        "port": settings.ingest_port,
        "loop": "uvloop",
        "http": "httptools",
        "access_log": False,  # ours has route templates, theirs has paths
        "log_config": None,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": DRAIN_S,
    }


class _Server(uvicorn.Server):
    """Leaves signals to whoever called `serve`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _until_signalled(settings: Settings) -> None:
    serving = asyncio.create_task(serve(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
