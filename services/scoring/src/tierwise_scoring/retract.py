"""Taking an import's batch back: its interactions go, and whom they touched is folded again from what is left.

A partition's position passes a retraction only when nothing is stored of what it takes back, in whatever partition
that was. It is done page by page, each a transaction of its own; done again, after a crash or by the worker of another
partition, it finds less to do, and in the end nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import asyncpg
import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.db.outbox import CHANNEL
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import attributes
from tierwise.domain.change import ERASE, Changes, Results, differences, names_of
from tierwise.domain.classify import Classifications
from tierwise.domain.retraction import Retraction
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.translate import Translated
from tierwise.folding.refold import Refolded, refold
from tierwise.security.personal import Vault
from tierwise_scoring import store
from tierwise_scoring.activity import TAKEN, take_activity
from tierwise_scoring.changes import Cause, Found, change_rows, found_of
from tierwise_scoring.customers import Customers, lock_customers, remove_customers, results_of
from tierwise_scoring.reclassify import Standing, reclassify
from tierwise_scoring.release import Rules, bring_up
from tierwise_scoring.segments import departures

log = structlog.get_logger()

_PAGE: Final = 500  # customers: so long, some 0.1 s with a few interactions each, live scoring may wait for one of them


class _Closed(NamedTuple):
    """A batch in which nothing that was received `before` is counted any more."""

    id: int
    before: datetime


@dataclass(frozen=True, slots=True)
class Retracting:
    """One retraction, to be `run` to its end before anything that stands behind it in a partition is scored."""

    engine: AsyncEngine
    rulebooks: Rulebooks
    vault: Vault
    retraction: Retraction

    async def run(self) -> int:
        """Returns how many interactions were taken back here."""
        async with self.engine.begin() as connection:
            closed = await _close(await driver_connection(connection), self.retraction)
        taken = 0
        while closed is not None:
            async with self.engine.begin() as connection:
                in_force = await self.rulebooks.hold_in_force(connection)
                page = await self._page(connection, closed, Rules(in_force, self.rulebooks, self.vault))
                if page is None:
                    break
                taken += page
        if taken:
            log.info("batch_retracted", interactions=taken)
        return taken

    async def _page(self, connection: AsyncConnection, closed: _Closed, rules: Rules) -> int | None:
        """The next customers: how many interactions went. None when there were none left."""
        tx = await driver_connection(connection)
        await tx.execute("SELECT FROM batches WHERE id = $1 FOR UPDATE", closed.id)  # one worker at a time
        stored = await tx.fetch(
            """SELECT DISTINCT customer_id FROM interactions
               WHERE batch_id = $1 AND batch_id <> 0 AND received < $2 ORDER BY customer_id LIMIT $3""",
            closed.id,
            closed.before,
            _PAGE,
        )
        if not stored:
            query = "UPDATE batches SET cleared_before = $2 WHERE id = $1 RETURNING summed"
            if summed := await tx.fetchval(query, *closed):
                log.warning("batch_retracted_in_part", still_count=summed, reason="only their sums are stored")
            return None
        touched = [row[0] for row in stored]
        customers = await lock_present(tx, touched)
        now = await tx.fetchval("SELECT greatest(now(), $1::timestamptz)", customers.classified_at)
        customers, _ = await bring_up(connection, customers, rules, now)
        taken = await _delete(tx, closed, touched, self.vault)
        await self._fold_again(tx, customers, rules, now)
        return taken

    async def _fold_again(self, tx: asyncpg.Connection, customers: Customers, rules: Rules, now: datetime) -> None:
        again = await refold(tx, customers.ids, rules.rulebook, self.vault)
        cause = Cause("import", None, None, self.retraction.quiet)
        gone = np.flatnonzero(again.interactions == 0).tolist()
        left = np.flatnonzero(again.interactions > 0).tolist()
        if gone:
            await _leave(tx, customers, gone, rules, now, cause)
        if left:
            standing = await _standing(tx, customers, left, again, rules)
            await reclassify(tx, standing, rules.in_force, now, cause_of=lambda _: cause, at=now)


async def _close(tx: asyncpg.Connection, retraction: Retraction) -> _Closed | None:
    """No transaction counts an interaction of it after this one is committed. None where it was all done before."""
    row = await tx.fetchrow(
        """INSERT INTO batches AS held (name, retracted_before) VALUES ($1, $2)
           ON CONFLICT (name) DO UPDATE
           SET retracted_before = greatest(held.retracted_before, excluded.retracted_before)
           RETURNING id, retracted_before, cleared_before""",
        retraction.retracted_batch,
        retraction.received_before,
    )
    id_, before, cleared = row
    return None if cleared is not None and cleared >= before else _Closed(id_, before)


async def lock_present(tx: asyncpg.Connection, touched: list[int]) -> Customers:
    """Lock and read whom these are by now."""
    while True:
        winners = await tx.fetch(
            "SELECT DISTINCT coalesce(merged_into, id) FROM customers WHERE id = ANY($1::bigint[])", touched
        )
        customers, moved = await lock_customers(tx, [row[0] for row in winners])
        if not moved:
            return customers


async def _delete(tx: asyncpg.Connection, closed: _Closed, touched: list[int], vault: Vault) -> int:
    """The interactions, and their keys: the same ids may come again and count."""
    rows = await tx.fetch(
        f"""DELETE FROM interactions
            WHERE batch_id = $1 AND batch_id <> 0 AND received < $2 AND customer_id = ANY($3::bigint[])
            RETURNING {TAKEN}""",
        *closed,
        touched,
    )
    await take_activity(tx, rows, vault)
    await tx.execute("DELETE FROM interaction_keys WHERE key = ANY($1::uuid[])", [row[0] for row in rows])
    return len(rows)


async def _leave(
    tx: asyncpg.Connection, customers: Customers, gone: list[int], rules: Rules, now: datetime, cause: Cause
) -> None:
    """Customers of whom nothing is left go. Subscribers are told that they are no more; what they were classified as
    becomes nothing in the history alone, since to subscribers a tier is never none."""
    before = results_of(customers, rules.rulebook)[gone]
    ids = [customers.ids[index] for index in gone]
    sequences = [customers.sequences[index] for index in gone]
    numbered = partial(change_rows, ids=ids, at=now, named=rules.in_force.named)
    unclassified = found_of(_departures(before, rules.rulebook), of=np.ones(len(ids), np.bool_))
    history = numbered(unclassified, sequences=sequences, cause_of=lambda _: cause._replace(quiet=True))
    last = {row[0]: row[1] for row in history}
    sequences = [last.get(id_, was) for id_, was in zip(ids, sequences, strict=True)]
    erased = [Found(place, ERASE, None, None, None, None, b"") for place in range(len(ids))]
    told = numbered([*await departures(tx, ids), *erased], sequences=sequences, cause_of=lambda _: cause)
    await store.copy(tx, "changes", store.CHANGE_COLUMNS, history + told)
    await tx.execute("SELECT pg_notify($1, '')", CHANNEL)
    await remove_customers(tx, ids)


def _departures(before: Results, rulebook: Rulebook) -> Iterator[Changes]:
    """Arrivals the other way round."""
    nobody = np.zeros(len(before), np.bool_)
    parts = np.zeros((len(rulebook.points) + len(rulebook.fit), len(before)), np.int64)
    for change in differences(np.zeros_like(before), nobody, Classifications(before, parts), rulebook):
        nothing = len(change.customer)
        yield replace(change, old=change.new, new=change.old, score=[None] * nothing, reasons=[b""] * nothing)


async def _standing(
    tx: asyncpg.Connection, customers: Customers, left: list[int], again: Refolded, rules: Rules
) -> Standing:
    """Those of whom something is left, with what that gives; where it cannot be read, with what they hold."""
    if unreadable := len(again.unreadable):
        log.error("customers_not_folded_again", customers=unreadable, reason="their interactions are unreadable")
    readable = np.array([index not in again.unreadable for index in left], np.bool_)
    chosen = [index for index in left if index not in again.unreadable]
    await tx.execute(
        """UPDATE customers AS held SET first_seen = new.first, last_seen = new.last
           FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS new (id, first, last)
           WHERE held.id = new.id""",
        [customers.ids[index] for index in chosen],
        [again.first_seen[index] for index in chosen],
        [again.last_seen[index] for index in chosen],
    )
    ledgers, held = list(customers.ledgers), list(customers.attributes)
    for index in chosen:
        ledgers[index], held[index] = again.ledgers[index], attributes.pack(again.attributes[index])
    return Standing(
        [customers.ids[index] for index in left],
        [customers.sequences[index] for index in left],
        [ledgers[index] for index in left],
        [held[index] for index in left],
        Translated(results_of(customers, rules.rulebook)[left], names_of(rules.rulebook), []),
        known=customers.born[left],
        refolded=readable,
        moved=np.zeros(len(left), np.bool_),
    )
