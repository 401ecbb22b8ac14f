"""The command `tierwise profile-api`."""

import typer
import uvloop

from tierwise import serving
from tierwise.settings import Settings
from tierwise.telemetry import configure_logging
from tierwise.tracing import configure_tracing
from tierwise_profile_api.app import create_app


def register(app: typer.Typer) -> None:
    @app.command("profile-api")
    def profile_api() -> None:
        """Serve the current view, timeline and changes of every customer."""
        settings = Settings()
        configure_logging(settings)
        configure_tracing("profile-api")
        uvloop.run(serving.until_signalled(serve(settings)))


async def serve(settings: Settings) -> None:
    """Serve until cancelled; then take nothing new, and end what is under way. Raises what repeating would not
    mend: VaultError, EmbeddedDatabaseError, a database that refuses the user."""
    app = create_app(settings)
    close_live = app.state.live.feed.close
    async with app.router.lifespan_context(app):  # entered here, so that its errors are raised and not only logged
        await serving.serve(app, host=settings.profile_api_host, port=settings.profile_api_port, stopping=close_live)
