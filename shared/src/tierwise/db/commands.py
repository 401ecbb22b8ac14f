"""The command `tierwise migrate`."""

import asyncio
from typing import Annotated

import typer

from tierwise.db.engine import open_engine
from tierwise.db.migrate import differences, head, migrate
from tierwise.settings import Settings
from tierwise.telemetry import configure_logging


def register(app: typer.Typer) -> None:
    @app.command("migrate")
    def migrate_command(
        check: Annotated[
            bool, typer.Option("--check", help="Only compare the migrations with the tables; needs no database.")
        ] = False,
    ) -> None:
        """Bring the database to this version, and make what the services need: keys, rulebook, topics."""
        if check:
            _check()
            return
        settings = Settings()
        configure_logging(settings)
        asyncio.run(_migrate(settings))
        typer.echo(f"The database is at {head()}.")


def _check() -> None:
    found = asyncio.run(differences())
    for line in found:
        typer.echo(line, err=True)
    if found:
        typer.echo("The migrations and tierwise.db.tables differ: write a migration.", err=True)
        raise typer.Exit(1)
    typer.echo(f"The migrations up to {head()} make the tables as declared.")


async def _migrate(settings: Settings) -> None:
    async with open_engine(settings) as engine:
        await migrate(settings, engine)
