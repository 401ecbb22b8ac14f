"""Tiers as shares of the customers, on a real PostgreSQL: taken when everything before the close is scored, by one
process, and everyone is brought to them while live scoring goes on."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.kafka import GIVEN
from tests.support.listed import listed
from tests.support.product import Product, history, page_view, purchase
from tests.support.published import own_topics
from tests.support.releases import all_is_well, causes, publish, released, rulebook
from tests.support.scoring import score
from tierwise.db import cuts
from tierwise.db.engine import snapshot
from tierwise.db.migrate import migrate
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import changes, customers
from tierwise.domain.calendar import day_number
from tierwise.domain.rulebook import Rulebook, load
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.releaser import Releaser
from tierwise_scoring.sweep import Sweeper
from tierwise_scoring.taker import Taker
from tierwise_scoring.taking import take

SHARES = "shares: {of_customers: {A: 10%, B: 20%, C: 20%, D: 20%}, taken: daily}"
SHARED = rulebook("shared", ("  otherwise: E\n", f"  otherwise: E\n  {SHARES}\n"))
QUIET = SHARED.replace("taken: daily", "taken: daily, quiet: true")
STRICT_SHARES = SHARED.replace("A: 10%", "A: 4%").replace('"shared"', '"strict shares"')
TOMORROW = timedelta(days=1)


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """Many customers on a rulebook with shares, of which none were taken."""
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(*history(random.Random(5), customers=40, interactions=250), page_view(9_000))
        await product.score()
        await publish(engine, SHARED)
        await releaser(product).release()
        yield product


def releaser(product: Product, page_max: int = 7) -> Releaser:
    return Releaser(product.engine, product.vault, Rulebooks(), ScoringMetrics(CollectorRegistry()), page_max)


def taker(product: Product) -> Taker:
    return Taker(product.engine, product.stream, product.vault, Rulebooks())


async def take_tomorrow(product: Product, *, days: int = 1) -> int:
    number = await taker(product).take_due(datetime.now(UTC) + days * TOMORROW)
    assert number is not None
    return number


async def tiers(product: Product) -> dict[str, int]:
    found = [row["tier"] for row in (await listed(product.engine)).values()]
    return {tier: found.count(tier) for tier in "ABCDE"}


async def named(product: Product) -> set[int | None]:
    """The cuts that customers are on."""
    async with product.engine.connect() as connection:
        query = select(customers.c.cuts).where(customers.c.merged_into.is_(None)).distinct()
        return set((await connection.execute(query)).scalars())


async def changes_by(product: Product, cause: str) -> list[Any]:
    async with product.engine.connect() as connection:
        return list(await connection.execute(select(changes).where(changes.c.cause == cause).order_by(changes.c.id)))


async def test_until_some_are_taken_the_fixed_scores_hold(product: Product) -> None:
    assert await taker(product).take_due() is None  # the close of today is yet to come
    assert await named(product) == {None}
    assert {row.cuts for row in await changes_by(product, "interaction")} == {None}


async def test_everyone_comes_to_the_cuts_and_each_change_names_them(product: Product) -> None:
    before, fixed = await causes(product.engine), await tiers(product)
    number = await take_tomorrow(product)
    assert not await released(product.engine)
    await releaser(product).release()
    assert await released(product.engine)
    assert await named(product) == {number}
    await all_is_well(product, 2)
    after = await tiers(product)
    everyone = sum(after.values())
    assert after != fixed
    assert 0 < after["A"] <= everyone / 10
    assert after["A"] + after["B"] <= everyone * 0.3
    assert (await causes(product.engine)) | {"cuts": 0} == before | {"cuts": 0}
    made = await changes_by(product, "cuts")
    assert {row.cuts for row in made} == {number}
    assert {row.aspect for row in made} == {"tier"}
    view = await product.view("user_id", "u1")
    assert (view["rulebook"], view["cuts"]) == ("shared", number)


async def test_cuts_are_taken_once_a_close_and_stay_until_the_next(product: Product) -> None:
    number, at = await take_tomorrow(product), datetime.now(UTC) + TOMORROW
    assert await taker(product).take_due(at) is None
    await releaser(product).release()
    await product.append(*(purchase(900 + index, "9000.00") for index in range(5)))
    await product.score()
    assert await named(product) == {number}
    assert (await changes_by(product, "interaction"))[-1].cuts == number
    assert await taker(product).take_due(at) is None
    later = await take_tomorrow(product, days=30)  # the closes between were missed: the latest is taken
    assert later == number + 1
    async with product.engine.connect() as connection:
        newest, first = await cuts.rows(connection)
    assert (newest.close - first.close).days == 29


async def test_cuts_wait_until_what_was_received_before_the_close_is_scored(product: Product) -> None:
    await product.append(page_view(9_001))
    at, waiting = datetime.now(UTC) + TOMORROW, taker(product)
    assert await waiting.take_due(at) is None
    await product.score()
    await product.append(page_view(9_002))  # after the close, and not scored: nothing waits for it
    assert await waiting.take_due(at) is not None


async def test_one_partition_that_lags_delays_the_cuts_on_kafka_too(
    request: pytest.FixtureRequest, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    broker = request.getfixturevalue("kafka")
    servers = GIVEN if broker is None else broker.bootstrap_servers
    on_kafka = settings.model_copy(update={"kafka_bootstrap_servers": servers})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(own_topics(str(servers)))
        await migrate(on_kafka, engine)
        stream = await stack.enter_async_context(open_stream(on_kafka, engine, vault))
        product = Product(engine, stream, vault, on_kafka)
        await publish(engine, SHARED)
        await product.append(*history(random.Random(5), customers=20, interactions=60))
        await product.score()
        async with engine.begin() as connection:
            held = "SELECT max(position) FROM stream_positions"
            behind = f"UPDATE stream_positions SET position = position - 1 WHERE position = ({held})"
            await connection.execute(text(behind))
        at, waiting = datetime.now(UTC) + TOMORROW, taker(product)
        assert await waiting.take_due(at) is None
        await product.score()
        assert await waiting.take_due(at) is not None


async def test_customers_who_came_after_the_close_and_what_happened_then_do_not_count(product: Product) -> None:
    rules, close = load(SHARED), day_number(date(2026, 9, 30))
    before = await taken(product, rules, close)
    later = datetime(2026, 11, 1, tzinfo=UTC)
    await product.append(
        purchase(9_001, "90000.00", time=later), purchase(9_002, "5.00", time=later, identifiers={"user_id": "new"})
    )
    await product.score()
    assert await taken(product, rules, close) == before
    assert (await taken(product, rules, close + 60))[2] > before[2] > 10


async def taken(product: Product, rules: Rulebook, close: int) -> tuple[int, tuple[int, ...], int]:
    async with snapshot(product.engine) as connection:
        return await take(connection, rules, close, product.vault)


async def test_cuts_for_a_rulebook_that_folds_otherwise_are_those_that_it_gives(product: Product) -> None:
    berlin = SHARED.replace("timezone: Asia/Shanghai", "timezone: Europe/Berlin").replace('"shared"', '"berlin"')
    close = day_number(datetime.now(UTC).date())
    foretold = await taken(product, load(berlin), close)
    await publish(product.engine, berlin)
    await releaser(product).release()
    assert await taken(product, load(berlin), close) == foretold


async def test_a_taking_that_is_killed_leaves_nothing_and_is_done_again(product: Product) -> None:
    at = datetime.now(UTC) + TOMORROW
    async with product.engine.begin() as writing:
        await Rulebooks().hold_in_force(writing)  # so that it counts everyone, and waits before it writes
        killed = asyncio.create_task(taker(product).take_due(at))
        await asyncio.sleep(0.5)
        assert await taker(product).take_due(at) is None  # one at a time
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
    async with product.engine.connect() as connection:
        assert await cuts.rows(connection) == []
    assert await named(product) == {None}
    assert await taker(product).take_due(at) is not None


async def test_cuts_of_a_rulebook_that_is_replaced_meanwhile_are_dropped(product: Product) -> None:
    async with product.engine.begin() as writing:
        await Rulebooks().hold_in_force(writing)
        publishing = asyncio.create_task(publish(product.engine, STRICT_SHARES))
        await asyncio.sleep(0.2)
        taking = asyncio.create_task(taker(product).take_due(datetime.now(UTC) + TOMORROW))
        await asyncio.sleep(0.3)
    await publishing
    assert await taking is None
    async with product.engine.connect() as connection:
        assert (await Rulebooks().in_force(connection)).named == (3, None)
    await releaser(product).release()
    assert await named(product) == {None}
    await all_is_well(product, 3)


async def test_a_pass_that_cuts_overtake_brings_everyone_to_them(product: Product) -> None:
    first = await take_tomorrow(product)
    killed = asyncio.create_task(releaser(product, 3).release())
    while len(await named(product)) < 2:  # noqa: ASYNC110  (the database has no event)
        await asyncio.sleep(0.005)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    assert await named(product) == {None, first}
    second = await take_tomorrow(product, days=3)
    await releaser(product).release()
    assert await named(product) == {second}
    assert await released(product.engine)
    await all_is_well(product, 2)


async def test_live_scoring_and_the_sweep_go_on_meanwhile(product: Product, settings: Settings) -> None:
    more = history(random.Random(6), customers=70, interactions=300)
    await product.append(*(msgspec.structs.replace(one, id=f"more-{one.id}") for one in more))
    small = settings.model_copy(update={"scoring_batch_max": 20})
    waiting = taker(product)
    sweeper = Sweeper(product.engine, Rulebooks(), ScoringMetrics(CollectorRegistry()), product.vault)

    async def taken_as_soon_as_possible() -> int:
        while (number := await waiting.take_due(datetime.now(UTC) + TOMORROW)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return number

    scoring = asyncio.create_task(score(product.engine, product.stream, product.vault, small, workers=2))
    number = await taken_as_soon_as_possible()
    again = [msgspec.structs.replace(one, id=f"again-{one.id}") for one in more[:100]]
    await product.append(*again)
    await asyncio.gather(scoring, releaser(product).release(), sweeper.sweep())
    await product.score()
    assert await named(product) == {number}
    await all_is_well(product, 2)


async def test_who_is_touched_before_the_pass_comes_is_brought_up_first(product: Product) -> None:
    number = await take_tomorrow(product)
    await product.append(page_view(9_001, identifiers={"user_id": "u1"}))
    await product.score()
    assert await named(product) == {None, number}
    assert (await product.view("user_id", "u1"))["cuts"] == number
    await releaser(product).release()
    await all_is_well(product, 2)


async def test_what_quiet_cuts_change_is_not_published(product: Product) -> None:
    quiet = QUIET.replace('"shared"', '"quiet"')
    await publish(product.engine, quiet)
    await releaser(product).release()
    await product.relay()
    before = len(await product.published(topics.TIER_CHANGES))
    await take_tomorrow(product)
    await releaser(product).release()
    await product.relay()
    assert {row.quiet for row in await changes_by(product, "cuts")} == {True}
    assert len(await product.published(topics.TIER_CHANGES)) == before


async def test_changes_are_published_with_the_number_of_the_cuts(product: Product) -> None:
    number = await take_tomorrow(product)
    await releaser(product).release()
    await product.relay()
    told = [data for _, data in await product.published(topics.TIER_CHANGES) if data["cause"] == {"kind": "cuts"}]
    assert len(told) == len(await changes_by(product, "cuts")) > 5
    assert {data["cuts"] for data in told} == {number}


async def test_a_rulebook_without_shares_gives_the_fixed_scores_again(product: Product) -> None:
    fixed = await tiers(product)
    await take_tomorrow(product)
    await releaser(product).release()
    assert await tiers(product) != fixed
    number = await publish(product.engine, rulebook("fixed"))
    await releaser(product).release()
    assert (await tiers(product), await named(product)) == (fixed, {None})
    assert {row.cuts for row in await changes_by(product, "release")} == {None}
    assert await taker(product).take_due(datetime.now(UTC) + TOMORROW) is None
    await all_is_well(product, number)


async def test_after_a_restart_late_in_a_period_the_close_that_was_missed_is_taken_but_none_before_the_rulebook(
    product: Product,
) -> None:
    monthly = SHARED.replace("taken: daily", "taken: monthly").replace('"shared"', '"monthly"')
    await publish(product.engine, monthly)
    await releaser(product).release()
    next_month = (datetime.now(UTC) + timedelta(hours=8)).replace(day=28) + timedelta(days=20)
    assert await taker(product).take_due() is None
    assert await taker(product).take_due(next_month) is not None
    assert await taker(product).take_due(next_month) is None
    async with product.engine.connect() as connection:
        [row] = await cuts.rows(connection)
    assert (row.close + TOMORROW).day == 1
    assert row.version == "monthly"
