"""The command `tierwise scoring`."""

from typing import Annotated

import typer
import uvloop

from tierwise.serving import until_signalled
from tierwise.settings import Settings
from tierwise.telemetry import configure_logging
from tierwise.tracing import configure_tracing
from tierwise_scoring.service import serve


def register(app: typer.Typer) -> None:
    @app.command()
    def scoring(
        reset_positions: Annotated[
            str | None,
            typer.Option(
                metavar="earliest",
                help="Start at the beginning of a log that was never scored, where it stopped with an error.",
            ),
        ] = None,
    ) -> None:
        """Score interactions from the stream, and publish what changes. Several may run."""
        if reset_positions not in (None, "earliest"):
            raise typer.BadParameter("only `earliest` is known", param_hint="--reset-positions")
        settings = Settings()
        configure_logging(settings)
        configure_tracing("scoring")
        uvloop.run(until_signalled(serve(settings, reset=reset_positions is not None)))
