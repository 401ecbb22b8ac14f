"""The gauges of what waits in the database."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product, page_view, purchase
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing
from tierwise_scoring.backlogs import look
from tierwise_scoring.metrics import ScoringMetrics


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


async def looked(product: Product) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = ScoringMetrics(registry)
    async with product.engine.connect() as connection:
        await look(connection, metrics.backlogs)
    return registry


async def test_what_is_not_published_counts_until_the_relay_has_published_it(product: Product) -> None:
    await product.relay()  # which begins
    await product.append(*(purchase(number, "400.00", identifiers={"user_id": f"u{number}"}) for number in range(9)))
    key = product.vault.identifier_hash("user_id", "u1")
    await product.stream.append(topics.INTERACTIONS, [Outgoing(key=key, value=b"no interaction")] * 2)
    await product.score()

    before = await looked(product)
    rows = before.get_sample_value("tierwise_relay_backlog_rows", {"outbox": "changes"})
    assert rows is not None
    assert rows >= 9
    assert 0 < (before.get_sample_value("tierwise_relay_backlog_seconds", {"outbox": "changes"}) or 0) < 60
    assert before.get_sample_value("tierwise_relay_backlog_rows", {"outbox": "dead_letters"}) == 2
    assert before.get_sample_value("tierwise_dead_letters_open") == 2

    await product.relay()
    after = await looked(product)
    for outbox in ("changes", "dead_letters"):
        assert after.get_sample_value("tierwise_relay_backlog_rows", {"outbox": outbox}) == 0
        assert after.get_sample_value("tierwise_relay_backlog_seconds", {"outbox": outbox}) == 0
    assert after.get_sample_value("tierwise_dead_letters_open") == 2


async def test_reviews_that_are_due_count_with_the_time_of_the_first(product: Product) -> None:
    await product.append(*(page_view(number, identifiers={"user_id": f"u{number}"}) for number in range(5)))
    await product.score()
    async with product.engine.begin() as connection:
        await connection.execute(text("UPDATE reviews SET due = now() + interval '1 day'"))
        await connection.execute(
            text(
                "UPDATE reviews SET due = now() - interval '90 s' WHERE customer_id IN (SELECT max(id) FROM customers)"
            )
        )
    registry = await looked(product)
    assert registry.get_sample_value("tierwise_sweeper_backlog_customers") == 1
    assert 90 <= (registry.get_sample_value("tierwise_sweeper_backlog_seconds") or 0) < 100
