"""The sweep: classifies again, from midnight on, whom time alone may have changed, by the same function as always.

It takes due customers in the order of their ids, and passes over those that a worker holds: their batch reviews them
anyway. Several workers may sweep at once. After a pause of any length it catches up in one go.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain.change import names_of
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.translate import Translated
from tierwise.security.personal import Vault
from tierwise_scoring.changes import Cause
from tierwise_scoring.customers import Customers, lock_due, results_of
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.reclassify import Standing, reclassify
from tierwise_scoring.release import Rules, bring_up

log = structlog.get_logger()

CAUSE: Final = Cause("time", None, None, False)

_EVERY_S: Final = 5.0
_PAGE: Final = 1_000  # about 30 ms: so long a worker may have to wait for a customer
_REST: Final = 0.5  # of a page's time between two: interactions come first, and there is time enough


@dataclass(frozen=True, slots=True)
class Sweeper:
    """`run` until cancelled."""

    engine: AsyncEngine
    rulebooks: Rulebooks
    metrics: ScoringMetrics
    vault: Vault

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
        """Review everyone who is due. Returns how many customers time has changed in any way. `at`: the moment,
        aware; None: now, by the database's clock."""
        changed, after = 0, -1
        while True:
            started = time.monotonic()
            async with self.engine.begin() as connection:
                rules = Rules(await self.rulebooks.hold_in_force(connection), self.rulebooks, self.vault)
                tx = await driver_connection(connection)
                now = at or await tx.fetchval("SELECT now()")
                due = await tx.fetch(
                    """SELECT customer_id FROM reviews WHERE due <= $1 AND customer_id > $2
                       ORDER BY customer_id LIMIT $3""",
                    now,
                    after,
                    _PAGE,
                )
                if not due:
                    return changed
                changed += await self._review(connection, [row[0] for row in due], now, rules)
            after = due[-1][0]
            await asyncio.sleep(_REST * (time.monotonic() - started))

    async def _review(self, connection: AsyncConnection, due: list[int], now: datetime, rules: Rules) -> int:
        tx = await driver_connection(connection)
        customers = await lock_due(tx, due, now)
        if customers.classified_at is None:
            return 0  # others hold all of them
        now = max(now, customers.classified_at)
        customers, _ = await bring_up(connection, customers, rules, now)
        days = rules.rulebook.days
        done = await reclassify(
            tx,
            _standing(customers, rules.rulebook),
            rules.in_force,
            now,
            cause_of=lambda _: CAUSE,
            at=days.midnight(days.day_of(now)),  # what is true today has been since midnight
        )
        self.metrics.reviews.inc(len(customers.ids))
        return int(done.written.sum())


def _standing(customers: Customers, rulebook: Rulebook) -> Standing:
    nobody = np.zeros(len(customers.ids), np.bool_)
    before = Translated(results_of(customers, rulebook), names_of(rulebook), [])
    return Standing(
        customers.ids,
        customers.sequences,
        customers.ledgers,
        customers.attributes,
        before,
        known=customers.born,
        refolded=nobody,
        moved=nobody,
    )
