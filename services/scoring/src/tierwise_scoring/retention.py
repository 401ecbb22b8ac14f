"""Retention: interactions of months past are folded into checkpoints, page by page, and their partitions dropped.

A page moves interactions from the table into checkpoints in one transaction. After it each of them is in one of both,
so that ending at any moment leaves everyone as they are, and going on needs no memory of where it was. What arrives
late for a month that is gone is stored under it again, until the next time.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
import msgspec
import numpy as np
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.db.months import bounds_of, drop_month, stored_months
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.interaction import Interaction
from tierwise.domain.source import BY_HAND
from tierwise.domain.ties import Naming, Rulings, tie_of
from tierwise.folding.checkpoints import Checkpoint, joined, read_checkpoints, write_checkpoints
from tierwise.folding.fold import fold
from tierwise.folding.refold import stored_interaction
from tierwise.security.personal import NotSealedHere, Vault
from tierwise_scoring.release import Rules, bring_up
from tierwise_scoring.retract import lock_present
from tierwise_scoring.rulings import read_rulings

log = structlog.get_logger()

PAGE: Final = 2_000
"""Interactions: so long, a tenth of a second, live scoring may wait for a customer among them."""

_EVERY_S: Final = 60.0
_LOCK: Final = 0x6D6F6E746873  # 'months', of pg_try_advisory_xact_lock
_NO_RULING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOLD_EVERY: Final = 50  # pages


class _Place(NamedTuple):
    """Of an interaction in the order in which a month is walked."""

    customer_id: int
    time: datetime
    key: bytes


class _Page(NamedTuple):
    """`end`: where it ended, None after the last one; `summed`: how many interactions went."""

    end: _Place | None
    summed: int


_START: Final = _Place(-1, _NO_RULING, bytes(16))


@dataclass(frozen=True, slots=True)
class Retention:
    """`days`: how old interactions may become; a month goes when all of it is older. None: none ever goes."""

    engine: AsyncEngine
    rulebooks: Rulebooks
    vault: Vault
    days: int | None
    page: int = PAGE

    async def run(self) -> None:
        """Until cancelled; goes on after outages. Several workers may do it at once."""
        while True:
            try:
                await self.enforce()
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("retention_waits", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_S)

    async def enforce(self, at: datetime | None = None) -> int:
        """Returns how many months were dropped. `at`: the moment, aware; None: now, by the database's clock."""
        if self.days is None:
            return 0
        async with self.engine.connect() as connection:
            now = at or (await connection.execute(text("SELECT now()"))).scalar_one()
            months = await stored_months(await driver_connection(connection))
        past = [month for month in months if bounds_of(month)[1] <= now - timedelta(days=self.days)]
        return sum([await self._month(month) for month in past])

    async def _month(self, month: date) -> bool:
        place: _Place | None = _START
        summed = pages = 0
        while place is not None:
            if (page := await self._page(month, place)) is None:
                return False
            place, summed, pages = page.end, summed + page.summed, pages + 1
            if pages % _TOLD_EVERY == 0:
                log.info("month_going", month=f"{month:%Y-%m}", summed=summed)
        dropped = False
        async with self.engine.connect() as connection:
            with suppress(asyncpg.LockNotAvailableError):  # somebody reads or writes: the next time, then
                dropped = await drop_month(await driver_connection(connection), month)
        log.info("month_dropped" if dropped else "month_stays", month=f"{month:%Y-%m}", summed=summed)
        return dropped

    async def _page(self, month: date, after: _Place) -> _Page | None:
        """The next interactions of a month. None: another worker is at it."""
        async with self.engine.begin() as connection:
            in_force = await self.rulebooks.hold_in_force(connection)
            tx = await driver_connection(connection)
            if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return None
            listed = await tx.fetch(_LISTED, *bounds_of(month), *after, self.page)
            if not listed:
                return _Page(None, 0)
            open_batches = await _hold_batches(tx, {row["batch_id"] for row in listed} - {0})
            customers = await lock_present(tx, sorted({row["customer_id"] for row in listed}))
            now = await tx.fetchval("SELECT greatest(now(), $1::timestamptz)", customers.classified_at)
            rules = Rules(in_force, self.rulebooks, self.vault)
            await bring_up(connection, customers, rules, now)
            last = _Place(*listed[-1][:3])
            rows = [
                row
                for row in await tx.fetch(_WHOLE, *bounds_of(month), *after, *last)
                if row["batch_id"] not in open_batches
            ]
            summed = await self._sum(tx, rows, bounds_of(month)[1], rules)
        return _Page(last if len(listed) == self.page else None, summed)

    async def _sum(self, tx: asyncpg.Connection, rows: Sequence[asyncpg.Record], before: datetime, rules: Rules) -> int:
        """Move these, which nobody else can change meanwhile, from the table into checkpoints."""
        sources = dict(await tx.fetch("SELECT id, name FROM sources"))
        readable, interactions = [], []
        for row in rows:
            try:
                interactions.append(stored_interaction(row, sources[row["source_id"]], self.vault))
            except (NotSealedHere, msgspec.MsgspecError, ValueError):
                continue
            readable.append(row)
        if unreadable := len(rows) - len(readable):
            log.error("interactions_not_summed", interactions=unreadable, reason="they are unreadable")
        if not readable:
            return 0
        rulings = await read_rulings(tx, {hash_ for row in readable for hash_ in row["identifiers"]})
        ties = [tie_of(_naming(row, sources), rulings) for row in readable]
        made = _checkpoints(readable, interactions, ties, before, rulings, rules)
        held = await read_checkpoints(tx, [one.customer_id for one in made])
        await write_checkpoints(tx, joined([*held, *made], rules.rulebook.fold_version))
        await _delete(tx, readable)
        return len(readable)


async def _hold_batches(tx: asyncpg.Connection, ids: set[int]) -> set[int]:
    """Nobody scores or takes back anything of these imports until the end of the transaction. Returns those that are
    being taken back: what is left of them goes that way."""
    rows = await tx.fetch(
        """SELECT id, retracted_before > coalesce(cleared_before, '-infinity') AS closing FROM batches
           WHERE id = ANY($1::int[]) ORDER BY id FOR UPDATE""",
        list(ids),
    )
    return {row["id"] for row in rows if row["closing"]}


def _naming(row: asyncpg.Record, sources: dict[int, str]) -> Naming:
    by_hand = sources[row["source_id"]] == BY_HAND
    return Naming(row["identifiers"], row["links"], by_hand, row["time"], row["received"])


def _checkpoints(
    rows: Sequence[asyncpg.Record],
    interactions: Sequence[Interaction],
    ties: Sequence[Sequence[bytes]],
    before: datetime,
    rulings: Rulings,
    rules: Rules,
) -> list[Checkpoint]:
    """Of these interactions alone. `rows`: ordered by their customers."""
    ids = sorted({row["customer_id"] for row in rows})
    owner = np.searchsorted(ids, [row["customer_id"] for row in rows])
    version, nobody_merges = rules.rulebook.fold_version, np.arange(len(ids))
    nothing = (packed_ledger.pack(ledger.empty(len(ids)), version), [attributes.pack({})] * len(ids))
    folded = fold(interactions, owner, nothing, nobody_merges, rules.rulebook, rules.vault)
    packed = packed_ledger.pack(folded.ledgers, version)
    ends = np.searchsorted(owner, nobody_merges, side="right").tolist()
    found = []
    for index, (id_, start, end) in enumerate(zip(ids, [0, *ends], ends, strict=False)):
        tied = tuple(dict.fromkeys(hash_ for tie in ties[start:end] for hash_ in tie))
        splits = (side.at for hash_ in tied for side in rulings.sides.get(hash_, {}).values())
        found.append(
            Checkpoint(
                customer_id=id_,
                before=before,
                first_seen=min(row["time"] for row in rows[start:end]),
                last_seen=max(row["time"] for row in rows[start:end]),
                received=min(row["received"] for row in rows[start:end]),
                interactions=end - start,
                ruled_at=max(splits, default=_NO_RULING),
                identifiers=tied,
                ledger=packed[index],
                attributes=attributes.pack(folded.attributes[index]),
            )
        )
    return found


async def _delete(tx: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> None:
    """Their keys stay: what comes again is known."""
    await tx.execute(
        """DELETE FROM interactions
           WHERE (customer_id, time, key) IN (SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::uuid[]))""",
        [row["customer_id"] for row in rows],
        [row["time"] for row in rows],
        [row["key"] for row in rows],
    )
    by_batch = Counter(row["batch_id"] for row in rows if row["batch_id"])
    await tx.executemany("UPDATE batches SET summed = summed + $2 WHERE id = $1", sorted(by_batch.items()))


_LISTED: Final = """
    SELECT customer_id, time, key, batch_id FROM interactions
    WHERE time >= $1 AND time < $2 AND (customer_id, time, key) > ($3::bigint, $4::timestamptz, $5::uuid)
    ORDER BY customer_id, time, key LIMIT $6"""
_WHOLE: Final = """
    SELECT customer_id, time, key, source_id, batch_id, id, channel, type, received, identifiers, body, links
    FROM interactions
    WHERE time >= $1 AND time < $2 AND (customer_id, time, key) > ($3::bigint, $4::timestamptz, $5::uuid)
      AND (customer_id, time, key) <= ($6::bigint, $7::timestamptz, $8::uuid)
    ORDER BY customer_id, time, key"""
