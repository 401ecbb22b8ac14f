"""Two batches of a worker overlap; whatever happens to either, everything is scored once."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product, history, page_view
from tests.support.scoring import scored, worker
from tierwise.db.engine import DATABASE_ERRORS
from tierwise.db.tables import interactions
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_scoring.rebuild import Rebuild

BATCH = 20


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    small = settings.model_copy(update={"scoring_batch_max": BATCH})
    async with open_stream(small, engine, vault) as stream:
        yield Product(engine, stream, vault, small)


async def test_the_next_batch_is_folded_while_one_is_written(product: Product) -> None:
    await product.append(*(page_view(number, identifiers={"user_id": f"u{number}"}) for number in range(2 * BATCH)))
    async with product.engine.connect() as held, held.begin():
        await held.execute(text("LOCK TABLE reviews IN EXCLUSIVE MODE"))  # before which a batch stops, half written
        running = asyncio.create_task(product.score())
        async with asyncio.timeout(10):
            while await _under_way(product) < 2:  # noqa: ASYNC110  (in the database)
                await asyncio.sleep(0.02)
    await running
    assert await product.count(interactions) == 2 * BATCH


async def test_what_is_ended_at_any_moment_is_done_again_and_once(product: Product) -> None:
    given = history(random.Random(5), customers=60, interactions=200)
    await product.append(*given)
    running = asyncio.create_task(_score(product))
    draw = random.Random(6)
    ended = 0
    while ended < 3 and not running.done():
        await asyncio.sleep(draw.uniform(0.0, 0.08))
        ended += await _end_one(product)
    await running
    assert await product.count(interactions) == len(given)
    assert (await Rebuild(product.engine, product.vault).everyone()).different == 0


async def test_a_batch_whose_month_is_gone_is_repeated_before_the_one_that_has_its_customer_locked(
    product: Product,
) -> None:
    await product.append(page_view(0))
    one = worker(product.engine, product.stream, product.vault, product.settings)
    running = asyncio.create_task(one.run())
    await scored(product.engine, product.stream)
    async with product.engine.begin() as connection:
        await connection.execute(text("DELETE FROM interactions"))
        await connection.execute(text("SELECT drop_interactions_month('2026-11-01')"))
    await product.append(*(page_view(number) for number in range(1, 1 + 3 * BATCH)))
    async with asyncio.timeout(20):
        await scored(product.engine, product.stream)
    one.stop()
    await running
    assert await product.count(interactions) == 3 * BATCH


async def _score(product: Product) -> None:
    one = worker(product.engine, product.stream, product.vault, product.settings)
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(60):
        while True:
            try:
                await scored(product.engine, product.stream)
                break
            except DATABASE_ERRORS:  # the test's own connection was ended
                continue
    one.stop()
    await running


async def _under_way(product: Product) -> int:
    """Batches in the middle of their transaction: each holds its partitions' locks."""
    async with product.engine.connect() as connection:
        found = await connection.execute(
            text("SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7368563")
        )
        return int(found.scalar_one())


async def _end_one(product: Product) -> int:
    async with product.engine.connect() as connection:
        ended = await connection.execute(
            text(
                """SELECT pg_terminate_backend(pid) FROM (
                       SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7368563 LIMIT 1
                   ) AS one"""
            )
        )
        return len(ended.all())
