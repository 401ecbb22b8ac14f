"""The sweep: classifies again, from midnight on, whom time alone may have changed, by the same function as always.

It takes due customers in the order of their ids, and passes over those that a worker holds: their batch reviews them
anyway. Several workers may sweep at once. After a pause of any length it catches up in one go.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import attributes, ledger
from tierwise.domain.calendar import date_of
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.override import next_expiry
from tierwise.domain.review import next_review
from tierwise_scoring import store
from tierwise_scoring.changes import Cause, ChangeRow, change_rows, found_in
from tierwise_scoring.facets import facets_moved, facets_of, write_facets
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.relay import CHANNEL
from tierwise_scoring.reviews import Reviewed, due_at, write_reviewed, write_reviews
from tierwise_scoring.store import Customers

log = structlog.get_logger()

CAUSE: Final = Cause("time", None, None, False)

_EVERY_S: Final = 5.0
_PAGE: Final = 2_000  # about 0.1 s: so long a worker may have to wait for a customer


@dataclass(frozen=True, slots=True)
class Sweeper:
    """`run` until cancelled."""

    engine: AsyncEngine
    rulebooks: Rulebooks
    metrics: ScoringMetrics

    async def run(self) -> None:
        """Goes on after outages of the database."""
        while True:
            try:
                await self.sweep()
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("sweep_waits", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_S)

    async def sweep(self, at: datetime | None = None) -> int:
        """Review everyone who is due. Returns how many customers have changed in any way. `at`: the moment, aware;
        None: now, by the database's clock."""
        changed, after = 0, -1
        while True:
            async with self.engine.begin() as connection:
                tx = await driver_connection(connection)
                now = at or await tx.fetchval("SELECT now()")
                due = [
                    row[0]
                    for row in await tx.fetch(
                        """SELECT customer_id FROM reviews WHERE due <= $1 AND customer_id > $2
                           ORDER BY customer_id LIMIT $3""",
                        now,
                        after,
                        _PAGE,
                    )
                ]
                if not due:
                    return changed
                changed += await self._review(connection, tx, due, now)
            after = due[-1]

    async def _review(self, connection: AsyncConnection, tx: asyncpg.Connection, due: list[int], now: datetime) -> int:
        rulebook_id, rulebook = await self.rulebooks.in_force(connection)
        customers = await store.lock_free(tx, due)
        if customers.classified_at is None:
            return 0  # others hold all of them
        now = max(now, customers.classified_at)
        today = rulebook.days.day_of(now)
        ledgers = ledger.unpack(customers.ledgers)
        held = [attributes.unpack(one) for one in customers.attributes]
        after = classify(ledgers, attribute_columns(held, rulebook), now, rulebook)
        before = store.results_of(customers, rulebook)
        changes = change_rows(
            found_in(before, customers.born, after, rulebook, of=customers.born),
            customers.ids,
            customers.sequences,
            lambda _: CAUSE,
            at=rulebook.days.midnight(today),  # what is true today has been since midnight
            rulebook_id=rulebook_id,
        )
        found = _reviewed(customers, before, after.result, changes)
        await write_reviewed(tx, found, now, date_of(today))
        moved = np.flatnonzero(facets_moved(before, after.result)).tolist()
        await write_facets(tx, [(customers.ids[index], facets_of(after.result[index], rulebook)) for index in moved])
        expiries = [next_expiry(one, now) for one in held]
        day = next_review(ledgers, after.result, today, rulebook)
        await write_reviews(tx, due_at(customers.ids, day, expiries, rulebook))
        if changes:
            await store.copy(tx, "changes", store.CHANGE_COLUMNS, changes)
            await tx.execute("SELECT pg_notify($1, '')", CHANNEL)
        self.metrics.reviews.inc(len(customers.ids))
        return len(found.ids)


def _reviewed(
    customers: Customers,
    before: npt.NDArray[np.void],
    after: npt.NDArray[np.void],
    changes: Sequence[ChangeRow],
) -> Reviewed:
    last = {row[0]: row[1] for row in changes}
    different = np.flatnonzero(before != after)
    chosen = different.tolist()
    return Reviewed(
        [customers.ids[index] for index in chosen],
        after[different],
        [last.get(customers.ids[index], customers.sequences[index]) for index in chosen],
        (before["stage"] != after["stage"])[different].tolist(),
    )
