"""The commands `tierwise dead-letters ...`."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.domain import unmapped
from tierwise.domain.change import rfc3339
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.table import show, show_json
from tierwise.telemetry import configure_logging
from tierwise_scoring.dead_letters import (
    READ_AGAIN,
    Chosen,
    Letter,
    count,
    count_unmapped,
    list_letters,
    replay,
    show_letter,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LetterId = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1)]
LetterIds = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID", min=1, max=2**63 - 1, show_default=False, help="As `list` shows them."),
]


def register(app: typer.Typer) -> None:
    letters = typer.Typer(help="Records that could not be scored, and another go at them.", no_args_is_help=True)
    app.add_typer(letters, name="dead-letters")

    @letters.command("list")
    def list_all(
        reason: Annotated[str | None, typer.Option(help="Only those with this reason.")] = None,
        replayed: Annotated[bool, typer.Option("--replayed", help="Those too that were replayed.")] = False,
        limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many, the newest first.")] = 50,
        as_json: AsJson = False,
    ) -> None:
        """Show the dead letters that were not replayed yet."""
        found = uvloop.run(_list(_settings(), reason, replayed=replayed, limit=limit))
        show([_row(one) if as_json else _brief(one) for one in found], as_json=as_json)

    @letters.command("show")
    def show_one(
        letter_id: LetterId,
        content: Annotated[
            bool, typer.Option("--content", help="The record's bytes too. They may hold personal data.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show where a record stood on the stream and why it could not be scored."""
        letter, key, value = uvloop.run(_show(_settings(), letter_id))
        told = {**_row(letter), "key": key.hex() if key else None, "bytes": len(value)}
        if content:
            told |= _content(value)
        if as_json:
            show_json(told)
            return
        show([{"field": name, "value": shown} for name, shown in told.items() if name != "content"], as_json=False)
        if content:
            typer.echo(_printable(told["content"]))
        else:
            typer.echo("The record itself, which may hold personal data: --content", err=True)

    @letters.command("replay")
    def replay_some(
        ids: LetterIds = None,
        reason: Annotated[str | None, typer.Option(help="All with this reason that were not replayed yet.")] = None,
        everything: Annotated[bool, typer.Option("--all", help="All that were not replayed yet.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Put records on the stream again. Safe to repeat; what fails again becomes a new dead letter."""
        if sum((bool(ids), reason is not None, everything)) != 1:
            raise typer.BadParameter("give ids, or --reason, or --all")
        if reason == unmapped.REASON:
            raise typer.BadParameter(READ_AGAIN)
        done, requests = uvloop.run(_replay(_settings(), Chosen(ids or (), reason)))
        if as_json:
            show_json({"replayed": done})
        else:
            typer.echo(f"{done:,} replayed. Those that still cannot be scored become new dead letters.")
        if everything and requests:
            typer.echo(f"{requests:,} were left: {READ_AGAIN}.", err=True)


def _settings() -> Settings:
    settings = Settings()
    configure_logging(settings)
    return settings


def _row(letter: Letter) -> dict[str, Any]:
    replayed = letter.replayed_at
    return {
        **msgspec.structs.asdict(letter),
        "created_at": rfc3339(letter.created_at),
        "replayed_at": rfc3339(replayed) if replayed else None,
    }


def _brief(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "created_at": letter.created_at.strftime("%Y-%m-%d %H:%M:%S"),
        "record": f"{letter.topic}[{letter.partition}]:{letter.position}",
        "reason": f"{letter.reason} (replayed)" if letter.replayed_at else letter.reason,
        "detail": letter.detail,
    }


def _content(value: bytes) -> dict[str, str]:
    try:
        return {"encoding": "utf-8", "content": value.decode()}
    except UnicodeDecodeError:
        return {"encoding": "base64", "content": b64encode(value).decode()}


def _printable(text: str) -> str:
    """A record is anyone's text: what would steer the terminal is written as an escape."""
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[AsyncEngine, Vault]]:
    async with open_engine(settings, pool_size=3) as engine:
        await migrate.check(engine)
        yield engine, await open_vault(engine, settings)


async def _list(settings: Settings, reason: str | None, *, replayed: bool, limit: int) -> list[Letter]:
    async with _database(settings) as (engine, _), engine.connect() as connection:
        return await list_letters(connection, reason=reason, replayed=replayed, limit=limit)


async def _show(settings: Settings, letter_id: int) -> tuple[Letter, bytes | None, bytes]:
    async with _database(settings) as (engine, vault), engine.connect() as connection:
        return await show_letter(connection, vault, letter_id)


async def _replay(settings: Settings, chosen: Chosen) -> tuple[int, int]:
    """How many were replayed, and how many wait for `tierwise remap` instead."""
    async with _database(settings) as (engine, vault):
        total = await count(engine, chosen)
        async with open_stream(settings, engine, vault) as stream:
            with _progress(total) as progressed:
                done = await replay(engine, stream, vault, chosen, progressed)
        return done, await count_unmapped(engine)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("records"), BarColumn(), MofNCompleteColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("records", total=total)
        yield lambda done: progress.update(task, completed=done)
