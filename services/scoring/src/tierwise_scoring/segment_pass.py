"""The pass of a segment: everyone is looked at once when it is new or another one, and each day where its filter asks
how long ago something was.

It begins when the transactions that were running when it was first seen have ended. Those that begin later see the
segment themselves, so between the two nobody is missed, and pages need no locks but of whom they move.
"""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.db.rulebooks import InForce, Rulebooks
from tierwise.domain.calendar import date_of
from tierwise_scoring.changes import Cause
from tierwise_scoring.customers import lock_customers
from tierwise_scoring.segments import Segment, conditions_of, follow_segments

log = structlog.get_logger("tierwise.segments")

_EVERY_S: Final = 1.0
_PAGE: Final = 5_000

TIME: Final = "time"
_MOVES_WITH_TIME: Final = "now()"
"""In a condition; what callers wrote is never in one."""


@dataclass(frozen=True, slots=True)
class SegmentPasses:
    """`run` until cancelled; several processes may."""

    engine: AsyncEngine
    rulebooks: Rulebooks

    async def run(self) -> None:
        """Goes on after outages of the database."""
        while True:
            try:
                await self.pass_due()
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("segments_wait", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_S)

    async def pass_due(self, at: datetime | None = None) -> int:
        """What can be done by now. Returns how many memberships moved. `at`: the moment, aware; None: now, by the
        database's clock."""
        moved = 0
        for number in await self._ready(at):
            while (page := await self._page(number, at)) is not None:
                moved += page
        return moved

    async def _ready(self, at: datetime | None) -> list[int]:
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            if not await tx.fetchval("SELECT EXISTS (SELECT FROM segments)"):
                return []
        async with self.engine.begin() as connection:
            tx = await driver_connection(connection)
            in_force = await self.rulebooks.in_force(connection)
            await tx.execute(_BEGIN_DAY, await _aging(tx, in_force), _today(in_force, await _now(tx, at)), TIME)
            await tx.execute(
                "UPDATE segments SET pass_after = pg_current_xact_id() WHERE reached IS NOT NULL AND pass_after IS NULL"
            )
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            rows = await tx.fetch(f"SELECT id FROM segments WHERE {_MAY_BEGIN} ORDER BY id")
        return [row[0] for row in rows]

    async def _page(self, number: int, at: datetime | None) -> int | None:
        """The next customers: how many moved. None: it is over, or another process is at it."""
        async with self.engine.begin() as connection:
            in_force = await self.rulebooks.hold_in_force(connection)
            tx = await driver_connection(connection)
            row = await tx.fetchrow(
                f"""SELECT id, name, filter, reached, quiet, cause FROM segments WHERE id = $1 AND {_MAY_BEGIN}
                    FOR NO KEY UPDATE SKIP LOCKED""",
                number,
            )
            if row is None:
                return None
            segment, now = Segment(*row[:3]), await _now(tx, at)
            last, differing = await _differing(tx, segment, row["reached"], in_force)
            at_time = now
            if row["cause"] == TIME:
                days = in_force.rulebook.days
                at_time = days.midnight(days.day_of(now))
            cause = Cause(row["cause"], None, None, row["quiet"])
            moved = await _move(connection, segment, differing, cause, in_force, at_time)
            today = None if last is not None else _today(in_force, now)
            await tx.execute(
                "UPDATE segments SET reached = $2, passed_on = coalesce($3::date, passed_on) WHERE id = $1",
                number,
                last,
                today,
            )
        return moved


_MAY_BEGIN: Final = "reached IS NOT NULL AND pass_after < pg_snapshot_xmin(pg_current_snapshot())"

# $1 segments whose members time moves, $2 today, $3 the cause.
_BEGIN_DAY: Final = """
    UPDATE segments SET reached = -1, pass_after = NULL, quiet = false, cause = $3
    WHERE id = ANY ($1::int[]) AND reached IS NULL AND passed_on < $2"""


async def _aging(tx: asyncpg.Connection, in_force: InForce) -> list[int]:
    rows = await tx.fetch("SELECT id, filter FROM segments ORDER BY id")
    conditions = conditions_of(tuple(row["filter"] for row in rows), in_force.rulebook)
    return [
        row["id"] for row, sql in zip(rows, conditions.sql, strict=True) if sql is not None and _MOVES_WITH_TIME in sql
    ]


async def _differing(
    tx: asyncpg.Connection, segment: Segment, after: int, in_force: InForce
) -> tuple[int | None, list[int]]:
    """The last customer of the next page, None where there are no more after it; who of the page is a member and does
    not fit, or fits and is none."""
    last = await tx.fetchval(
        """SELECT customer_id FROM customer_facets WHERE customer_id > $1
           ORDER BY customer_id OFFSET $2 LIMIT 1""",
        after,
        _PAGE - 1,
    )
    conditions = conditions_of((segment.filter,), in_force.rulebook)
    sql = conditions.sql[0]
    if sql is None:
        log.warning("segment_not_understood", segment=segment.name)
        return None, []
    place = len(conditions.values)
    rows = await tx.fetch(
        f"""SELECT f.customer_id FROM customer_facets f
            LEFT JOIN segment_members m ON m.customer_id = f.customer_id AND m.segment_id = ${place + 1}::int
            WHERE f.customer_id > ${place + 2}::bigint AND f.customer_id <= ${place + 3}::bigint
              AND ({sql}) <> (m.customer_id IS NOT NULL)""",
        *conditions.values,
        segment.id,
        after,
        _LAST if last is None else last,
    )
    return last, [row[0] for row in rows]


_LAST: Final = 2**63 - 1


async def _move(
    connection: AsyncConnection,
    segment: Segment,
    differing: list[int],
    cause: Cause,
    in_force: InForce,
    at: datetime,
) -> int:
    if not differing:
        return 0
    tx = await driver_connection(connection)
    customers, _ = await lock_customers(tx, differing)  # who was merged meanwhile is in no segment any more
    last = await follow_segments(
        tx,
        customers.ids,
        customers.sequences,
        lambda _: cause,
        in_force.rulebook,
        named=in_force.named,
        at=at,
        segments=[segment],
    )
    return len(last)


def _today(in_force: InForce, now: datetime) -> date:
    return date_of(in_force.rulebook.days.day_of(now))


async def _now(tx: asyncpg.Connection, at: datetime | None) -> datetime:
    now: datetime = at or await tx.fetchval("SELECT now()")
    return now
