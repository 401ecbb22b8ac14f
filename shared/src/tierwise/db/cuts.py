"""The cuts of a database: tiers as shares of the customers, numbered as they were taken."""

from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import cuts, rulebooks
from tierwise.domain.calendar import date_of
from tierwise.domain.cuts import Taken


class Row(NamedTuple):
    """`version`: the rulebook's; `scores`: hundredths, by tier from the highest down."""

    number: int
    rulebook_id: int
    version: str
    close: date
    scores: list[int]
    customers: int
    quiet: bool
    taken_at: datetime


async def add(connection: AsyncConnection, rulebook_id: int, taken: Taken, *, quiet: bool) -> int:
    """Bring cuts in force with the rulebook that they were taken under. Returns their number. `connection`: in a
    transaction that holds everyone else back (`rulebooks.hold_alone`)."""
    values = {
        "rulebook_id": rulebook_id,
        "close": date_of(taken.close),
        "scores": list(taken.scores),
        "customers": taken.customers,
        "quiet": quiet,
    }
    number = (await connection.execute(insert(cuts).values(values).returning(cuts.c.id))).scalar_one()
    again = update(rulebooks).where(rulebooks.c.id == rulebook_id).values(reached=0, released_at=None)
    await connection.execute(again)
    return int(number)


async def rows(connection: AsyncConnection) -> list[Row]:
    """The newest first, of every rulebook."""
    query = (
        select(cuts.c.id, cuts.c.rulebook_id, rulebooks.c.version, cuts.c.close, cuts.c.scores, cuts.c.customers,
               cuts.c.quiet, cuts.c.taken_at)
        .join(rulebooks, rulebooks.c.id == cuts.c.rulebook_id)
        .order_by(cuts.c.id.desc())
    )  # fmt: skip
    return [Row(*row) for row in await connection.execute(query)]


async def last_close(connection: AsyncConnection, rulebook_id: int) -> date | None:
    """Of the newest cuts of a rulebook."""
    query = select(cuts.c.close).where(cuts.c.rulebook_id == rulebook_id).order_by(cuts.c.id.desc()).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()
