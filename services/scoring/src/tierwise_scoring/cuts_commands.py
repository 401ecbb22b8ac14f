"""The command `tierwise rulebook cuts`: which cuts there were, and taking them now."""

import asyncio
import time
from typing import Annotated, Any, Final

import typer
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.authoring.commands import AsJson
from tierwise.db import cuts
from tierwise.db.engine import snapshot
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain.calendar import date_of
from tierwise.domain.change import rfc3339
from tierwise.domain.cuts import Taken
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.schema import Schedule
from tierwise.problem import NotFound, Problem, Unavailable
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.topics import INTERACTIONS
from tierwise.table import show
from tierwise.telemetry import configure_logging
from tierwise_scoring.positions import passed
from tierwise_scoring.progress import count_customers, customers_bar, opened_database
from tierwise_scoring.taker import bring_in_force
from tierwise_scoring.taking import due_close, take

_PATIENCE_S: Final = 10.0
_POLL_S: Final = 0.1


class NoShares(Problem):
    status, code, title = 409, "no_shares", "Tiers are cut at fixed scores"


def list_cuts(
    take_: Annotated[
        bool, typer.Option("--take", help="Take them now, at the close of yesterday, and bring everyone to them.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="With --take: what changes by it is recorded but not published.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The scores at which tiers that are shares of the customers were cut, the newest first."""
    settings = Settings()
    configure_logging(settings)
    if take_:
        number = uvloop.run(_take(settings, quiet=quiet))
        typer.echo(f"Number {number} is in force; customers follow.", err=True)
    show(uvloop.run(_list(settings, as_json=as_json)), as_json=as_json)


async def taken_now(settings: Settings, engine: AsyncEngine, vault: Vault, rulebook: Rulebook, at: Schedule) -> Taken:
    """At the latest close of a schedule, once all that was received before it is scored; with a bar. `rulebook`: one
    with shares. Raises Unavailable where that does not come soon, NotFound where nobody was there."""
    async with open_stream(settings, engine, vault) as stream:
        ends = await stream.ends(INTERACTIONS)
    waiting_until = time.monotonic() + _PATIENCE_S
    while True:
        async with engine.connect() as connection:
            if await passed(connection, ends):
                break
        if time.monotonic() > waiting_until:
            raise Unavailable("Not all that was received is scored yet. Is `tierwise scoring` running?")
        await asyncio.sleep(_POLL_S)
    async with snapshot(engine) as connection:
        now = (await connection.execute(text("SELECT now()"))).scalar_one()
        close = due_close(at, now, rulebook)
        with customers_bar(await count_customers(connection)) as progressed:
            taken = await take(connection, rulebook, close, vault, progressed)
    if not taken.customers:
        raise NotFound(f"Nobody was there at the close of {date_of(close)}: there is nobody to take shares of.")
    return taken


async def _take(settings: Settings, *, quiet: bool) -> int:
    async with opened_database(settings) as (engine, vault):
        rulebooks = Rulebooks()
        async with engine.connect() as connection:
            in_force = await rulebooks.in_force(connection)
        if in_force.rulebook.shares is None:
            raise NoShares(f"The rulebook in force, {in_force.rulebook.version}, has no tiers.shares to take.")
        taken = await taken_now(settings, engine, vault, in_force.rulebook, "daily")
        number = await bring_in_force(engine, rulebooks, in_force, taken, quiet=quiet)
    if number is None:
        raise Unavailable("Another rulebook or other cuts came in force meanwhile: look at them, and try again.")
    return number


async def _list(settings: Settings, *, as_json: bool) -> list[dict[str, Any]]:
    rulebooks = Rulebooks()
    async with opened_database(settings) as (engine, _), engine.connect() as connection:
        in_force = (await rulebooks.in_force(connection)).rulebook.cuts_number
        listed = []
        for row in await cuts.rows(connection):
            names = (await rulebooks.get(connection, row.rulebook_id)).tier_names
            scores = {name: score / 100 for name, score in zip(names, row.scores, strict=False)}
            listed.append(
                {
                    "number": row.number,
                    "rulebook": row.version,
                    "close": row.close.isoformat(),
                    "scores": scores if as_json else [f"{name} {score:.2f}" for name, score in scores.items()],
                    "customers": row.customers,
                    "quiet": row.quiet,
                    "taken": rfc3339(row.taken_at),
                    "in_force": row.number == in_force,
                }
            )
    return listed
