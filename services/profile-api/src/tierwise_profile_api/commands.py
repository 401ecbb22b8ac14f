"""The command `tierwise profile-api`."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import typer
import uvicorn
import uvloop

from tierwise.settings import Settings
from tierwise.telemetry import configure_logging
from tierwise_profile_api.app import create_app

DRAIN_S: Final = 8
"""For requests under way when told to stop; an export is cut after it."""


def register(app: typer.Typer) -> None:
    @app.command("profile-api")
    def profile_api() -> None:
        """Serve the current view, timeline and changes of every customer."""
        settings = Settings()
        configure_logging(settings)
        uvloop.run(_until_signalled(settings))


async def serve(settings: Settings) -> None:
    """Serve until cancelled; then take nothing new, and end what is under way. Raises what repeating would not
    mend: VaultError, EmbeddedDatabaseError, a database that refuses the user."""
    app = create_app(settings)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.profile_api_host,
            port=settings.profile_api_port,
            http="httptools",
            lifespan="off",  # entered here, so that its errors are raised and not only logged
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    async with app.router.lifespan_context(app):
        serving = asyncio.create_task(server.serve())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise


class _Server(uvicorn.Server):
    """Leaves signals to whoever called `serve`: `tierwise up` has several servers in one process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _until_signalled(settings: Settings) -> None:
    serving = asyncio.create_task(serve(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
