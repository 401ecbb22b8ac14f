"""The command `tierwise ingest`."""

import os
import tempfile
from typing import Annotated

import typer
import uvicorn
import uvloop
from fastapi import FastAPI

from tierwise import serving
from tierwise.settings import Settings
from tierwise.siblings import DIRECTORY
from tierwise.telemetry import configure_logging
from tierwise.tracing import configure_tracing
from tierwise_ingest.app import create_app


def register(app: typer.Typer) -> None:
    @app.command()
    def ingest(
        workers: Annotated[int, typer.Option(min=1, help="Processes that share the port; one a core.")] = 1,
    ) -> None:
        """Take interactions over HTTP and put them on the stream."""
        settings = Settings()
        configure_logging(settings)
        configure_tracing("ingest")
        if workers > 1:
            with tempfile.TemporaryDirectory(prefix="tierwise-ingest-") as siblings:
                os.environ[DIRECTORY] = siblings
                uvicorn.run(
                    "tierwise_ingest.commands:app_of_environment",
                    factory=True,
                    workers=workers,
                    host=settings.ingest_host,
                    port=settings.ingest_port,
                    loop="uvloop",
                    **serving.UVICORN,
                )
        else:
            uvloop.run(serving.until_signalled(serve(settings)))


async def serve(settings: Settings) -> None:
    """Serve until cancelled; then take nothing new, and end what is under way. Raises what repeating would not
    mend: VaultError, EmbeddedDatabaseError."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):  # entered here, so that its errors are raised and not only logged
        await serving.serve(app, host=settings.ingest_host, port=settings.ingest_port)


def app_of_environment() -> FastAPI:
    """For each of several processes, which have nothing but the environment."""
    settings = Settings()
    configure_logging(settings)
    configure_tracing("ingest")
    app = create_app(settings)
    serving.freeze()
    return app
