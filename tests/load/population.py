"""Customers as a long time of scoring leaves them, straight into the tables: 33 ledger rows each."""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.calendar import date_of
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.ledger import Ledgers
from tierwise.domain.review import next_review
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.book import activity_name
from tierwise_scoring.customers import Written, write_customers
from tierwise_scoring.facets import facets_of
from tierwise_scoring.measures import measures_of
from tierwise_scoring.reviews import due_at, write_reviews

ROWS: Final = 33
_PAGE: Final = 5_000


async def store_population(engine: AsyncEngine, customers: int, now: datetime | None = None) -> None:
    """By the rulebook in force, classified at `now` (None: now). Without interactions: they cannot be folded again."""
    rulebooks, draw = Rulebooks(), np.random.default_rng(7)
    now = now or datetime.now(UTC)
    for first in range(0, customers, _PAGE):
        ids = list(range(first + 1, min(first + _PAGE, customers) + 1))
        async with engine.begin() as connection:
            in_force = await rulebooks.in_force(connection)
            rulebook = in_force.rulebook
            today = rulebook.days.day_of(now)
            ledgers = drawn(draw, len(ids), today, rulebook)
            columns = attribute_columns([{}] * len(ids), rulebook)
            after = classify(ledgers, columns, now, rulebook).result
            tx = await driver_connection(connection)
            await write_customers(
                tx,
                Written(
                    ids=ids,
                    born=np.zeros(len(ids), np.bool_),
                    ledgers=packed_ledger.pack(ledgers, rulebook.fold_version),
                    attributes=[attributes.pack({})] * len(ids),
                    results=after,
                    sequences=[0] * len(ids),
                    first_seen=[now - timedelta(days=700)] * len(ids),
                    last_seen=[now] * len(ids),
                    stage_moved=np.zeros(len(ids), np.bool_),
                    facets=dict(enumerate(facets_of(after, [{}] * len(ids), rulebook, today))),
                    measures=measures_of(ledgers, after, [{}] * len(ids), rulebook, today),
                    now=now,
                    today=date_of(today),
                    named=in_force.named,
                ),
            )
            day = next_review(ledgers, columns, after, today, rulebook)
            await write_reviews(tx, due_at(ids, day, [None] * len(ids), rulebook))
    await settle(engine)


async def settle(engine: AsyncEngine) -> None:
    """As autovacuum and a checkpoint leave tables between two busy times."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
        await connection.execute(text("CHECKPOINT"))


def drawn(draw: np.random.Generator, customers: int, today: int, rulebook: Rulebook) -> Ledgers:
    """Of each customer ROWS rows of signals that rules ask for, most of them lately; some buy, most do not."""
    names = sorted(rulebook.used - {activity_name("crm", active=True)})  # which nobody ever is
    ids = rulebook.signal_ids[[rulebook.signal_index[name] for name in names]]
    is_purchase = np.array([name == "purchase" for name in names])
    weights = np.where(is_purchase, 4.0, 1.0)
    buys = np.repeat(draw.random(customers) < 0.4, ROWS)
    which = draw.choice(len(names), customers * ROWS, p=weights / weights.sum())
    which = np.where(is_purchase[which] & ~buys, 0, which)
    age = np.minimum(draw.exponential(90, customers * ROWS).astype(np.int64), 700)
    many = customers * ROWS
    value = np.where(is_purchase[which], draw.integers(1_000, 200_000, many), 0)
    rows = Ledgers(
        customers,
        np.repeat(np.arange(customers), ROWS),
        ids[which],
        today - age,
        draw.integers(0, 86_400, many),
        draw.integers(1, 4, many),
        value,
    )
    return ledger.fold(ledger.empty(customers), rows)
