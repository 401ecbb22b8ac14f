"""`tierwise remap`."""

from contextlib import AsyncExitStack
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.table import show, show_json
from tierwise.telemetry import configure_logging
from tierwise_ingest.remapping.run import Chosen, Remapped, Rereader, known_sources, remap, waiting


def register(app: typer.Typer) -> None:
    app.command("remap")(remap_)


def remap_(
    source: Annotated[str | None, typer.Option(help="Only what this source sent.", show_default=False)] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only what was kept for this code, as unknown_event.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come of it, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read again what webhooks sent and could not be mapped, after a fix or a change of the source. Safe to repeat."""
    settings = Settings()
    configure_logging(settings)
    result = uvloop.run(_remap(settings, Chosen(source, reason), dry_run=dry_run))
    if as_json:
        show_json(_document(result, dry_run=dry_run))
        return
    would = "would be " if dry_run else ""
    typer.echo(
        f"{result.letters:,} requests read again: {result.mapped:,} {would}mapped whole, "
        f"{result.interactions:,} interactions {would}appended, {result.left.total():,} still not mapped."
    )
    if result.left:
        show(_left(result), as_json=False)


def _document(result: Remapped, *, dry_run: bool) -> dict[str, Any]:
    return {
        "letters": result.letters,
        "mapped": result.mapped,
        "interactions": result.interactions,
        "left": _left(result),
        "dry_run": dry_run,
    }


def _left(result: Remapped) -> list[dict[str, Any]]:
    return [{**why._asdict(), "letters": letters} for why, letters in result.left.most_common()]


async def _remap(settings: Settings, chosen: Chosen, *, dry_run: bool) -> Remapped:
    console = Console(stderr=True)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(settings, pool_size=3))
        await migrate.check(engine)
        vault = await open_vault(engine, settings)
        stream = None if dry_run else await stack.enter_async_context(open_stream(settings, engine, vault))
        key = vault.key_hash("ids made from content")
        rereader = Rereader(await known_sources(engine), settings, key)
        with Progress(
            TextColumn("requests"), BarColumn(), MofNCompleteColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        ) as progress:  # fmt: skip
            task = progress.add_task("requests", total=await waiting(engine))
            return await remap(
                engine, stream, vault, rereader, chosen, lambda done: progress.update(task, completed=done)
            )
