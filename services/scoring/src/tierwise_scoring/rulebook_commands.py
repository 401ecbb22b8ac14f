"""The commands `tierwise rulebook publish | rollback | list | simulate | cuts`: a rulebook as a release to everyone."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, NamedTuple

import typer
import uvloop
from rich.console import Console
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.authoring.commands import rulebook_group
from tierwise.authoring.findings import findings
from tierwise.authoring.given import text_of
from tierwise.authoring.printing import print_findings
from tierwise.db import cuts, rulebooks
from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import Release, Rulebooks
from tierwise.db.tables import customers
from tierwise.domain.change import rfc3339
from tierwise.domain.cuts import Taken
from tierwise.domain.rulebook import Rulebook, load, ready_rulebooks
from tierwise.folding.checkpoints import count_kept
from tierwise.problem import NotFound, Unavailable
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.table import show, show_json
from tierwise.telemetry import configure_logging
from tierwise_scoring.cuts_commands import list_cuts, taken_now
from tierwise_scoring.moves import document, tell
from tierwise_scoring.progress import count_customers, customers_bar, opened_database
from tierwise_scoring.simulation import Moves, Simulation

_POLL_S: Final = 0.3
_PATIENCE_S: Final = 10.0  # without progress: probably nobody is scoring

_DONE: Final = "done"
_OVERTAKEN: Final = "overtaken"

_READY = f"A file, or a rulebook that comes with Tierwise ({', '.join(ready_rulebooks())})"
Given = Annotated[str, typer.Argument(metavar="FILE", help=_READY, show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", help="What changes by it is recorded but not published.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until every customer is on it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Publishing = Callable[[AsyncConnection], Awaitable[int]]


class Plan(NamedTuple):
    """What a release will be. `again`: whether interactions are folded again, or ledgers only classified; `kept`: of
    how many customers there are some that cannot be, since only their sums are stored."""

    version: str
    replaces: str
    again: bool
    customers: int
    kept: int

    def sentence(self) -> str:
        if self.version == self.replaces:
            return f"{self.version} is in force already."
        does = "folded again from their interactions and classified" if self.again else "classified again"
        told = f"{self.version} in place of {self.replaces}: {self.customers:,} customers will be {does}."
        return f"{told} {self.sums()}" if self.again and self.kept else told

    def sums(self) -> str:
        return (
            f"Of {self.kept:,} customers older interactions are kept as sums: those stay as earlier rulebooks "
            "folded them."
        )


def register(app: typer.Typer) -> None:
    group = rulebook_group(app)
    group.command("simulate")(simulate)
    group.command("publish")(publish)
    group.command("rollback")(rollback)
    group.command("list")(list_)
    group.command("cuts")(list_cuts)


def simulate(
    file: Given,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="So many of the customers that move most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """What would become of every customer under a rulebook: who moves where. Nothing is written."""
    rulebook = _valid(file)
    rulebook, moves = uvloop.run(_simulate(_settings(), rulebook, limit))
    if as_json:
        show_json(document(moves, rulebook))
    else:
        tell(moves, rulebook, Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160))


def publish(
    file: Given, quiet: Quiet = False, yes: Yes = False, no_wait: NoWait = False, as_json: AsJson = False
) -> None:
    """Bring a rulebook in force, and every customer to it. Scoring goes on meanwhile."""
    rulebook, text = _valid(file), text_of(file)

    async def publishing(connection: AsyncConnection) -> int:
        return await rulebooks.publish(connection, text, quiet=quiet)

    _release(_settings(), rulebook, publishing, yes=yes, wait=not no_wait, as_json=as_json)


def rollback(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="When absent: the one in force before this one.")
    ] = None,
    quiet: Quiet = False,
    yes: Yes = False,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Bring an older rulebook in force again, as a release of its own."""
    settings = _settings()
    older = uvloop.run(_older(settings, version))

    async def publishing(connection: AsyncConnection) -> int:
        return await rulebooks.roll_back(connection, older.version, quiet=quiet)

    _release(settings, older, publishing, yes=yes, wait=not no_wait, as_json=as_json)


def list_(as_json: AsJson = False) -> None:
    """Every release, the newest first, with the customers that are on it."""
    show(uvloop.run(_list(_settings())), as_json=as_json)


def _release(
    settings: Settings, rulebook: Rulebook, publishing: Publishing, *, yes: bool, wait: bool, as_json: bool
) -> None:
    plan, number = uvloop.run(_publish(settings, rulebook, publishing, ask=sys.stdin.isatty() and not yes))
    try:
        ended = uvloop.run(_follow(settings, number, plan.customers)) if wait else None
    except KeyboardInterrupt:
        typer.echo("It is published, and goes on by itself.", err=True)
        raise typer.Exit(130) from None
    if as_json:
        show_json({"number": number, **plan._asdict(), "in_force": ended != _OVERTAKEN, "released": ended == _DONE})
    elif ended == _OVERTAKEN:
        typer.echo(f"Number {number} is published, but another one after it.")
    else:
        everyone = "every customer is on it" if ended == _DONE else "customers follow"
        typer.echo(f"Number {number}, version {plan.version}, is in force; {everyone}.")


async def _publish(settings: Settings, rulebook: Rulebook, publishing: Publishing, *, ask: bool) -> tuple[Plan, int]:
    async with opened_database(settings) as (engine, vault):
        plan = await _plan(engine, rulebook)
        typer.echo(plan.sentence(), err=True)
        replaces = plan.version != plan.replaces
        if ask and replaces:
            typer.confirm("Bring it in force?", abort=True, err=True)
        taken = await _taken(settings, engine, vault, rulebook) if replaces else None
        async with engine.begin() as connection:
            number = await publishing(connection)
            if taken is not None:
                await cuts.add(connection, number, taken, quiet=False)  # what changes is the release's
            return plan, number


async def _taken(settings: Settings, engine: AsyncEngine, vault: Vault, rulebook: Rulebook) -> Taken | None:
    """The cuts that come with a release: so nobody is moved by the fixed scores first, and then by the shares."""
    if rulebook.shares is None:
        return None
    try:
        return await taken_now(settings, engine, vault, rulebook, rulebook.shares.taken)
    except (Unavailable, NotFound) as error:
        until = f"until shares are taken at the next close ({rulebook.shares.taken}), or by `rulebook cuts --take`"
        typer.echo(f"{error} The fixed scores hold {until}.", err=True)
        return None


async def _plan(engine: AsyncEngine, rulebook: Rulebook) -> Plan:
    async with engine.connect() as connection:
        held = (await Rulebooks().in_force(connection)).rulebook
        return Plan(
            rulebook.version,
            held.version,
            rulebook.fold_version != held.fold_version,
            await count_customers(connection),
            (await count_kept(await driver_connection(connection))).customers,
        )


async def _follow(settings: Settings, number: int, total: int) -> str:
    """Until every customer is on it or on a later one. Returns which."""
    async with opened_database(settings) as (engine, _):
        async with engine.connect() as connection:
            last = (await connection.execute(select(func.max(customers.c.id)))).scalar_one() or 1
        with customers_bar(total) as progressed:
            moved_at, reached, told = time.monotonic(), 0, False
            while True:
                async with engine.connect() as connection:
                    newest = await rulebooks.newest_release(connection)
                if newest.id != number or newest.released_at is not None:
                    return _DONE if newest.id == number else _OVERTAKEN
                if newest.reached != reached:
                    moved_at, reached = time.monotonic(), newest.reached
                elif not told and time.monotonic() - moved_at > _PATIENCE_S:
                    typer.echo("Is `tierwise scoring` running? It brings customers to the rulebook.", err=True)
                    told = True
                progressed(min(total, total * reached // last))
                await asyncio.sleep(_POLL_S)


async def _older(settings: Settings, version: str | None) -> Rulebook:
    async with opened_database(settings) as (engine, _), engine.connect() as connection:
        release = await rulebooks.older_release(connection, version)
        return await Rulebooks().get(connection, release.id)


async def _list(settings: Settings) -> list[dict[str, Any]]:
    async with opened_database(settings) as (engine, _), engine.connect() as connection:
        listed = await rulebooks.releases(connection)
        query = select(customers.c.rulebook_id, func.count()).where(customers.c.merged_into.is_(None))
        counts: dict[int, int] = dict((await connection.execute(query.group_by(customers.c.rulebook_id))).all())
    return [_row(release, counts.get(release.id, 0), in_force=release is listed[0]) for release in listed]


def _row(release: Release, count: int, *, in_force: bool) -> dict[str, Any]:
    return {
        "number": release.id,
        "version": release.version,
        "published": rfc3339(release.published_at),
        "quiet": release.quiet,
        "customers": count,
        "in_force": in_force,
        "released": release.released_at and rfc3339(release.released_at),
    }


async def _simulate(settings: Settings, rulebook: Rulebook, limit: int) -> tuple[Rulebook, Moves]:
    """Also the rulebook, with the cuts that publishing it would take."""
    async with opened_database(settings) as (engine, vault):
        plan = await _plan(engine, rulebook)
        if plan.again:
            typer.echo("Signals differ: interactions are folded again, which takes its time.", err=True)
            if plan.kept:
                typer.echo(plan.sums(), err=True)
        if (taken := await _taken(settings, engine, vault, rulebook)) is not None:
            rulebook = rulebook.cut_at(taken.scores, None)
        with customers_bar(plan.customers) as progressed:
            return rulebook, await Simulation(engine, vault, rulebook, limit).everyone(progressed)


def _valid(file: str) -> Rulebook:
    """Prints what is wrong and exits with 1 where anything is."""
    text = text_of(file)
    if found := findings(text):
        print_findings(file, text, found, Console(stderr=True, highlight=False, markup=False))
        raise typer.Exit(1)
    return load(text)


def _settings() -> Settings:
    settings = Settings()
    configure_logging(settings)
    return settings
