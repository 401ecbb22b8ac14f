"""Finding customers over HTTP: lists, counts, statistics and exports of a large base, one request at a time.

TIERWISE_BENCH_CUSTOMERS: how many customers there are (200,000; the goals are for 1,000,000).
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.load.bench import Result, benchmark
from tests.load.population import settle, store_population
from tests.load.running import own_directory
from tests.support.database import test_settings
from tierwise.db.embedded import embedded_postgres
from tierwise.db.engine import driver_connection, open_engine
from tierwise.db.facets import numbers_of
from tierwise.db.migrate import migrate
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app

CUSTOMERS: Final = int(os.environ.get("TIERWISE_BENCH_CUSTOMERS", "200000"))
REPEATED: Final = 9

NARROWED: Final[dict[str, dict[str, Any]]] = {
    "tier and intent": {"tier": "B", "intent": "medium"},
    "stage and region": {"stage": ["active", "new"], "region": "CN-31"},
    "tag and industry": {"tag": "browsing:high", "industry": "finance"},
    "source and scores": {"source": "search", "intent_from": 20, "intent_to": 60},
    "expression": {"filter": 'region in ("CN-31", "CN-11") and not (intent < 30 or tier = "E")'},
}
_TODAY: Final = datetime.now(UTC).date()
TWO_YEARS: Final = {"from": str(_TODAY - timedelta(days=729)), "to": str(_TODAY)}
STATISTICS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "distribution by region": ("distribution", {"by": "region"}),
    "distribution by a tag": ("distribution", {"by": "tag:browsing"}),
    "channel table": ("channels", {}),
    "channel table of a quarter": ("channels", {"period": "quarter"}),
    "moves between tiers": ("moves", {}),
    "funnel": ("funnel", {}),
    "activity by day, a month": ("activity", {}),
    "orders by month, two years": ("orders", {"period": "month", **TWO_YEARS}),
    "hours of the day, two years": ("hours", TWO_YEARS),
}
KEPT: Final = ("channels", "funnel")
"""After the first time they come from snapshots."""


_STARTED_S: Final = 10
"""What the service counts when it starts takes a few seconds of both cores."""


@benchmark("find")
async def find() -> AsyncIterator[Result]:
    """Medians; the first request of each kind does not count, or is told by itself."""
    with own_directory() as path:
        async with embedded_postgres(path / "database") as dsn:
            settings = test_settings(database_url=dsn, data_dir=path)
            async with open_engine(settings) as engine:
                await migrate(settings, engine)
                await store_population(engine, CUSTOMERS)
                await vary(engine)
                await happen(engine, CUSTOMERS)
                key = await _key(engine, settings)
            app = create_app(settings)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app),
                    base_url="http://profile-api",
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=600,
                ) as client,
            ):
                await asyncio.sleep(_STARTED_S)
                async for result in _measured(client):
                    yield result


VALUES: Final = {
    "region": ("CN-11", "CN-31", "CN-44", "CN-33", "CN-51"),
    "industry": ("education", "finance", "it", "retail"),
    "first_touch": ("search", "email", "social", "partner"),
    "last_touch": ("search", "direct", "phone"),
}


async def vary(engine: AsyncEngine) -> None:
    """What the population's customers, who have no attributes, would be filtered by."""
    async with engine.begin() as connection:
        await connection.execute(
            text("""UPDATE customer_facets
                    SET region = 1 + customer_id % 5, industry = 1 + customer_id / 5 % 4,
                        first_touch = 1 + customer_id / 20 % 4, last_touch = 1 + customer_id / 80 % 3""")
        )
        await numbers_of(
            await driver_connection(connection), [(facet, value) for facet in VALUES for value in VALUES[facet]]
        )
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM FULL customer_facets"))
    await settle(engine)


async def happen(engine: AsyncEngine, customers: int) -> None:
    """Two orders of each customer and their stages, and what 20 interactions each add up to, over two years."""
    async with engine.begin() as connection:
        for statement in _HAPPEN:
            await connection.execute(text(statement), {"customers": customers})
    await settle(engine)


_HAPPEN: Final = (
    "SELECT add_interactions_month((now() - month * interval '1 month')::date) FROM generate_series(0, 25) AS month",
    """INSERT INTO interactions (customer_id, time, key, source_id, id, channel, type, received, identifiers, body,
                                 amount)
       SELECT 1 + n % :customers, now() - n % 730 * interval '1 day' - n % 86400 * interval '1 second',
              md5(n::text)::uuid, 1, n::text, 'order', 'purchase', now(), '{}', '\\x92', n % 100000 * 10000
       FROM generate_series(1, 2 * :customers) AS n""",
    """INSERT INTO changes (customer_id, sequence, shard, aspect, "to", at, rulebook_id, cause, reasons, quiet)
       SELECT 1 + n % :customers, 1 + n / :customers, 0, 'lifecycle',
              (ARRAY['prospect', 'interested', 'new', 'active'])[1 + n / :customers + n % 2], now(), 1, 'time', '', true
       FROM generate_series(0, 2 * :customers - 1) AS n""",
    """INSERT INTO activity (quarter, channel, sale, currency, count, amount)
       SELECT extract(epoch FROM now())::int / 900 - n, channel, sale, '', 20 * :customers / 600000, 1000000
       FROM generate_series(0, 730 * 96 - 1) AS n,
            (VALUES ('web', ''), ('email', ''), ('sms', ''), ('call', ''), ('social', ''), ('ad', ''),
                    ('order', 'purchase'), ('order', 'refund')) AS channels (channel, sale)""",
)


async def _key(engine: AsyncEngine, settings: Settings) -> str:
    async with engine.begin() as connection:
        vault = await open_vault(connection, settings)
        return (await create_read_key(connection, vault, name="bench", scopes=SCOPES)).secret


async def _measured(client: httpx.AsyncClient) -> AsyncIterator[Result]:
    size = f"ms ({CUSTOMERS:,} customers)"
    for name, parameters in NARROWED.items():
        for kind, path, more in (
            ("list", "customers", {}),
            ("list, sorted,", "customers", {"sort": "-intent.score"}),
            ("count", "customers/count", {}),
        ):
            took_ms, _ = await _took_ms(client, path, {**parameters, **more})
            yield Result(name=f"{kind} by {name}", value=took_ms, unit=size, goal=100, lower_is_better=True)
    for name, (path, parameters) in STATISTICS.items():
        took_ms, first_ms = await _took_ms(client, f"statistics/{path}", parameters)
        yield Result(name=name, value=took_ms, unit=size, goal=300, lower_is_better=True)
        if path in KEPT:
            yield Result(name=f"{name}, first", value=first_ms, unit=size, goal=300, lower_is_better=True)
    for name, asked, goal in EXPORTS:
        started, bytes_ = time.perf_counter(), 0
        async with client.stream(
            "GET", "/v1/export", params=asked, headers={"Accept-Encoding": "identity"}
        ) as response:
            async for chunk in response.aiter_bytes():
                bytes_ += len(chunk)
        rate = CUSTOMERS / (time.perf_counter() - started)
        assert bytes_ > CUSTOMERS
        yield Result(name=f"export as {name}", value=rate, unit="customers/s", goal=goal)


EXPORTS: Final[tuple[tuple[str, dict[str, str], int | None], ...]] = (
    ("csv", {"format": "csv"}, 50_000),
    ("flat lines of json", {"shape": "flat"}, 50_000),
    ("parquet", {"format": "parquet"}, 50_000),
    ("views", {}, None),
)


async def _took_ms(client: httpx.AsyncClient, path: str, parameters: dict[str, Any]) -> tuple[float, float]:
    """The median, and the first one, which does not count in it."""
    took = []
    for _ in range(1 + REPEATED):
        started = time.perf_counter()
        (await client.get(f"/v1/{path}", params=parameters)).raise_for_status()
        took.append(time.perf_counter() - started)
    return statistics.median(took[1:]) * 1_000, took[0] * 1_000
