"""The commands `tierwise backup` and `tierwise restore`."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from tierwise.db.backup import Manifest, backup, read_manifest, restore
from tierwise.db.engine import open_server
from tierwise.settings import Settings
from tierwise.telemetry import configure_logging

_Directory = Annotated[Path, typer.Argument(metavar="DIRECTORY", file_okay=False, show_default=False)]


def register(app: typer.Typer) -> None:
    @app.command("backup")
    def backup_command(directory: _Directory) -> None:
        """Write a backup to a new directory: the database as it is at one moment, and how far the stream was scored.

        Services go on meanwhile. The secret key is not in it: keep that elsewhere.
        """
        settings = _configured()
        made = _waiting("Backing up", _backup(settings, directory))
        typer.echo(
            f"{directory}: {made.customers:,} customers, {made.bytes / 1e6:,.1f} MB, revision {made.revision}, to be "
            f"opened with the secret key {made.secret_key_id}, which is not in it."
        )

    @app.command("restore")
    def restore_command(directory: _Directory) -> None:
        """Put a backup into an empty database. Scoring then goes on from where it was when the backup was made."""
        settings = _configured()
        made = _waiting("Restoring", _restore(settings, directory))
        typer.echo(
            f"{made.customers:,} customers as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC. Run `tierwise migrate`, then "
            "start the services."
        )


def _configured() -> Settings:
    settings = Settings()
    configure_logging(settings)
    return settings


async def _backup(settings: Settings, directory: Path) -> Manifest:
    async with open_server(settings) as dsn:
        return await backup(settings, dsn, directory)


async def _restore(settings: Settings, directory: Path) -> Manifest:
    manifest = await read_manifest(settings, directory)
    async with open_server(settings) as dsn:
        await restore(settings, dsn, directory)
    return manifest


def _waiting(doing: str, work: Coroutine[Any, Any, Manifest]) -> Manifest:
    with Console(stderr=True).status(f"{doing} ..."):
        return uvloop.run(work)
