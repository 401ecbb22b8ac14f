"""Growth: what an interaction costs as customers and stored interactions become more, and the room that they take.

Every batch touches as many customers, whatever their number is. TIERWISE_BENCH_GROWTH: how many customers there are, in
turn (10000,100000,1000000); TIERWISE_BENCH_STORED: how many interactions in millions, after each other, beside the most
customers (1,20).
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.load.bench import Result, benchmark
from tests.load.chart import Line, write_chart
from tests.load.running import own_process
from tests.load.scoring import MEASURED, WARMING, Ground, Spent, append_all, ground, outgoing, scored

CUSTOMERS: Final = [int(size) for size in os.environ.get("TIERWISE_BENCH_GROWTH", "10000,100000,1000000").split(",")]
STORED: Final = [int(size) for size in os.environ.get("TIERWISE_BENCH_STORED", "1,20").split(",")]
CHART: Final = Path("docs") / "growth.svg"
_CHUNK: Final = 1_000_000


@benchmark("growth")
async def growth() -> AsyncIterator[Result]:
    """CPU seconds of the worker and of PostgreSQL for 100,000 interactions; then bytes on disk."""
    by_customers, by_stored = [], []
    for customers in CUSTOMERS:
        async with ground(customers, kafka=False) as place:
            cost = _cost(await _measured(place, customers, "customers"))
            by_customers.append((customers, cost))
            yield _grown(f"{customers:,} customers", cost, by_customers[0][1])
            if customers != max(CUSTOMERS):
                continue
            for millions in STORED:
                await _store(place.engine, millions * 1_000_000)
                cost = _cost(await _measured(place, customers, f"stored-{millions}"))
                by_stored.append((millions * 1_000_000, cost))
                yield _grown(f"{millions} million stored interactions", cost, by_stored[0][1])
            async for result in _room(place.engine):
                yield result
    write_chart(
        CHART,
        title="CPU seconds for 100,000 interactions",
        lines=[Line("customers", by_customers), Line("stored interactions", by_stored)],
    )


def _cost(spent: Spent) -> float:
    return (spent.workers_s + spent.backends_s + spent.others_s) / spent.interactions * 100_000


def _grown(name: str, cost: float, first: float) -> Result:
    """`ratio_goal` of a cost is a bound from above, so the cheapness is told: the first cost over this one."""
    return Result(
        name=f"cost with {name}",
        value=cost,
        unit="CPU seconds / 100,000",
        goal=1.3 * first,
        lower_is_better=True,
        baseline="with the fewest",
        baseline_value=first,
    )


async def _measured(place: Ground, customers: int, name: str) -> Spent:
    await append_all(place.stream, outgoing(MEASURED + WARMING, place.vault, customers, name=name))
    with own_process("scoring", place.settings) as worker:
        return await scored(place, [worker], after=WARMING)


async def _store(engine: AsyncEngine, wanted: int) -> None:
    """Copies of the stored interactions under keys of their own, for customers drawn evenly, until there are so
    many."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        held = int((await connection.execute(text("SELECT count(*) FROM interaction_keys"))).scalar_one())
        for start in range(held, wanted, _CHUNK):
            count = min(_CHUNK, wanted - start)
            await connection.execute(text(_COPIES), {"start": start, "count": count})
        await connection.execute(text("VACUUM ANALYZE"))
        await connection.execute(text("CHECKPOINT"))


_COPIES: Final = """
    WITH templates AS (
        SELECT row_number() OVER () - 1 AS number, held.* FROM (SELECT * FROM interactions LIMIT 1000) AS held
    ), bounds AS (
        SELECT min(id) AS first, max(id) - min(id) + 1 AS count FROM customers
    ), made AS (
        SELECT md5('copy-' || copy)::uuid AS made_key, first + copy * 7919 % count AS made_customer, templates.*
        FROM generate_series(CAST(:start AS bigint), CAST(:start AS bigint) + :count - 1) AS copy, bounds, templates
        WHERE templates.number = copy % 1000
    ), keys AS (
        INSERT INTO interaction_keys (key, day, content) SELECT made_key, 20000, 0 FROM made
    )
    INSERT INTO interactions (customer_id, time, key, source_id, batch_id, id, channel, type, received, identifiers,
                              body)
    SELECT made_customer, time, made_key, source_id, batch_id, id, channel, type, received, identifiers, body
    FROM made"""


async def _room(engine: AsyncEngine) -> AsyncIterator[Result]:
    """Tables with their indexes, for each customer and for each stored interaction."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("""SELECT coalesce(pg_partition_root(oid), oid)::regclass::text AS name,
                           sum(pg_total_relation_size(oid))::bigint AS bytes
                    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY 1""")
        )
        bytes_of = dict(map(tuple, rows))
        customers = (await connection.execute(text("SELECT count(*) FROM customers"))).scalar_one()
        interactions = (await connection.execute(text("SELECT count(*) FROM interaction_keys"))).scalar_one()
    for name in ("customers", "customer_facets", "reviews", "identifiers"):
        goal = 1_200 if name == "customers" else None
        yield Result(
            name=f"room: {name}",
            value=bytes_of[name] / customers,
            unit="bytes a customer",
            goal=goal,
            lower_is_better=True,
        )
    for name in ("interactions", "interaction_keys", "changes"):
        yield Result(name=f"room: {name}", value=bytes_of[name] / interactions, unit="bytes a stored interaction")
    every = sum(bytes_of.values())
    yield Result(name="room: all tables", value=every / customers, unit="bytes a customer")
    yield Result(name="room: all tables, again", value=every / interactions, unit="bytes a stored interaction")
