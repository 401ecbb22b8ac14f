"""The taker: takes cuts when the rulebook's schedule says so, once all that was received before the close is scored.

Any number of workers may run it; one of them takes. A close that passed while nobody was running is caught up with,
the latest one only.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db import cuts
from tierwise.db.engine import DATABASE_ERRORS, is_transient, snapshot
from tierwise.db.rulebooks import InForce, Rulebooks, hold_alone
from tierwise.db.tables import rulebooks
from tierwise.domain.calendar import date_of, day_number
from tierwise.domain.cuts import Taken
from tierwise.security.personal import Vault
from tierwise.stream.port import Partition, Stream, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_scoring.positions import passed
from tierwise_scoring.taking import GRACE, due_close, take

log = structlog.get_logger()

_EVERY_S: Final = 5.0
_LOCK: Final = 0x63757473  # 'cuts', of pg_try_advisory_xact_lock


class _Seen(NamedTuple):
    """Where the stream ended at some moment after the close of a business day."""

    close: int
    ends: Mapping[Partition, int]


@dataclass(slots=True)
class Taker:
    """`run` until cancelled."""

    engine: AsyncEngine
    stream: Stream
    vault: Vault
    rulebooks: Rulebooks
    _seen: _Seen | None = field(default=None, init=False)

    async def run(self) -> None:
        """Goes on after outages of database and stream."""
        while True:
            try:
                await self.take_due()
            except StreamUnavailable as error:
                log.warning("cuts_wait", reason=str(error))
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("cuts_wait", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_S)

    async def take_due(self, at: datetime | None = None) -> int | None:
        """Take the cuts that are due, and bring them in force. Returns their number; None where none are due, or have
        to wait, or another process is at it. `at`: the moment, aware; None: now, by the database's clock."""
        async with self.engine.connect() as connection:
            in_force = await self.rulebooks.in_force(connection)
            close = await _due(connection, in_force, at)
        if close is None:
            return None
        ends = await self._ends(close)
        async with snapshot(self.engine) as connection:
            alone = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if not alone.scalar_one() or not await passed(connection, ends):
                return None
            taken = await take(connection, in_force.rulebook, close, self.vault)
            number = await bring_in_force(self.engine, self.rulebooks, in_force, taken)
        if number is not None:
            log.info("cuts_taken", cuts=number, close=date_of(close).isoformat(), customers=taken.customers)
        return number

    async def _ends(self, close: int) -> Mapping[Partition, int]:
        """Where the stream ended after the close: all that was received before it lies below. Seen once, since the
        ends go on; seen again where there is another log, or more partitions."""
        ends = await self.stream.ends(INTERACTIONS)
        if self._seen is None or self._seen.close != close or self._seen.ends.keys() != ends.keys():
            self._seen = _Seen(close, ends)
            log.info("cuts_due", close=date_of(close).isoformat())
        return self._seen.ends


async def bring_in_force(
    engine: AsyncEngine, held: Rulebooks, in_force: InForce, taken: Taken, *, quiet: bool = False
) -> int | None:
    """Bring cuts in force, unless another rulebook or other cuts than `in_force` are. Returns their number."""
    shares = in_force.rulebook.shares
    async with engine.begin() as connection:
        await hold_alone(connection)
        if (await held.in_force(connection)).named != in_force.named:
            return None
        return await cuts.add(connection, in_force.id, taken, quiet=quiet or (shares is not None and shares.quiet))


async def _due(connection: AsyncConnection, in_force: InForce, at: datetime | None) -> int | None:
    """The close at which cuts are due and not taken. Of those before it was published none are, unless `publish` has
    taken cuts of an earlier one."""
    shares, days = in_force.rulebook.shares, in_force.rulebook.days
    if shares is None:
        return None
    now = at or (await connection.execute(text("SELECT now()"))).scalar_one()
    query = select(rulebooks.c.published_at).where(rulebooks.c.id == in_force.id)
    published = days.day_of((await connection.execute(query)).scalar_one() - GRACE)
    last = await cuts.last_close(connection, in_force.id)
    settled = published - 1 if last is None else day_number(last)
    close = due_close(shares.taken, now, in_force.rulebook)
    return close if close > settled else None
