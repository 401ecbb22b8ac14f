"""Releases of rulebooks on a real PostgreSQL, with live scoring: everyone comes to the new one, and nothing is lost."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.listed import listed
from tests.support.product import Product, history, page_view
from tests.support.releases import (
    OTHER_SIGNALS,
    OTHER_TAGS,
    STRICTER,
    all_is_well,
    causes,
    changes_tell_the_story,
    on_rulebooks,
    publish,
    released,
    results,
    rulebook,
)
from tests.support.scoring import score
from tierwise.db import rulebooks
from tierwise.db.rulebooks import Rulebooks, VersionTaken
from tierwise.db.tables import changes, customers
from tierwise.domain.rulebook import RulebookError, default_text, load
from tierwise.problem import NotFound
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.rebuild import Rebuild
from tierwise_scoring.releaser import Releaser
from tierwise_scoring.simulation import Simulation
from tierwise_scoring.sweep import Sweeper

EVERYWHERE = [STRICTER, OTHER_TAGS, OTHER_SIGNALS]


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """Many customers, some of them merged, all on the rulebook that the database was seeded with."""
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(*history(random.Random(5), customers=50, interactions=500))
        await product.score()
        yield product


def releaser(product: Product, page_max: int = 7) -> Releaser:
    metrics = ScoringMetrics(CollectorRegistry())
    return Releaser(product.engine, product.vault, Rulebooks(), metrics, page_max)


async def some_are_on(product: Product, number: int, count: int = 1) -> None:
    while (await on_rulebooks(product.engine)).get(number, 0) < count:  # noqa: ASYNC110  (the database has no event)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("document", EVERYWHERE, ids=lambda document: load(document).version)
async def test_everyone_is_what_the_new_rulebook_says(product: Product, document: str) -> None:
    before = await causes(product.engine)
    everyone = sum((await on_rulebooks(product.engine)).values())
    number = await publish(product.engine, document)
    assert await releaser(product).release() == everyone
    assert await released(product.engine)
    await all_is_well(product, number)
    after = await causes(product.engine)
    assert after.pop("release") > 20
    assert after == before
    async with product.engine.connect() as connection:
        query = select(changes.c.rulebook_id).where(changes.c.cause == "release").distinct()
        assert (await connection.execute(query)).scalars().all() == [number]
    assert (await product.view("user_id", "u1"))["rulebook"] == load(document).version


async def test_a_release_again_does_nothing(product: Product) -> None:
    await publish(product.engine, STRICTER)
    await releaser(product).release()
    before = await results(product.engine), await causes(product.engine)
    assert await publish(product.engine, STRICTER) == 2
    assert await releaser(product).release() == 0
    assert (await results(product.engine), await causes(product.engine)) == before


async def test_tags_that_are_gone_are_told_and_new_ones_too(product: Product) -> None:
    await publish(product.engine, OTHER_TAGS)
    await releaser(product).release()
    async with product.engine.connect() as connection:
        query = select(changes.c.aspect, changes.c["from"], changes.c.to).where(changes.c.cause == "release")
        told = Counter(map(tuple, await connection.execute(query)))
    tags = [row["tags"] for row in (await listed(product.engine)).values()]
    assert {to for aspect, _, to in told if aspect == "tag:behaviour.browsing"} == {None}
    assert {(old, to) for aspect, old, to in told if aspect == "tag:behaviour.visits"} == {(None, "some")}
    assert {(old, to) for aspect, old, to in told if aspect == "tag:transaction.history"} == {("repeat", "again")}
    assert not any("browsing" in tag or tag.endswith(":repeat") for listed in tags for tag in listed)


async def test_without_a_list_of_interests_everyone_has_those_of_their_own(product: Product) -> None:
    seen = ["rockets", "books", "rockets", "图书", "rockets"]
    viewed = [page_view(7_000 + n, properties={"category": one}) for n, one in enumerate(seen)]
    await product.append(*viewed[:3])
    await product.score()
    assert (await product.view("user_id", "u1"))["interests"] == ["other", "books"]

    text = default_text().replace('version: "2026-11"', 'version: "by hash"')
    listed = text[text.index("  values: [courses") : text.index("# Where a customer came from")]
    text = re.sub(r"\binterests\((\d+d)\)", r"channels(\1)", text.replace(listed, ""))
    number = await publish(product.engine, text)
    await releaser(product).release()
    assert (await product.view("user_id", "u1"))["interests"] == ["rockets", "books"]
    await product.append(*viewed[3:])
    await product.score()
    view = await product.view("user_id", "u1")
    assert view["interests"] == ["rockets", "books", "图书"]
    assert not any(name.startswith("interests") for name in view["attributes"])
    await all_is_well(product, number)


@pytest.mark.parametrize("document", EVERYWHERE, ids=lambda document: load(document).version)
async def test_live_scoring_goes_on_meanwhile(product: Product, document: str, settings: Settings) -> None:
    more = history(random.Random(6), customers=70, interactions=400)
    await product.append(*(msgspec.structs.replace(one, id=f"more-{one.id}") for one in more))
    small = settings.model_copy(update={"scoring_batch_max": 20})
    scoring = asyncio.create_task(score(product.engine, product.stream, product.vault, small, workers=2))
    await asyncio.sleep(0.1)
    number = await publish(product.engine, document)
    await asyncio.gather(scoring, releaser(product).release(), releaser(product, 11).release())
    await all_is_well(product, number)


async def test_who_is_scored_before_the_pass_comes_is_released_first(product: Product) -> None:
    number = await publish(product.engine, OTHER_TAGS, quiet=True)
    await product.append(page_view(9001, identifiers={"user_id": "u1"}))
    await product.score()
    assert (await on_rulebooks(product.engine))[number] == 1
    async with product.engine.connect() as connection:
        query = select(changes.c.cause, changes.c.quiet).where(changes.c.rulebook_id == number).distinct()
        rows = list(map(tuple, await connection.execute(query)))
    assert ("release", True) in rows
    assert ("release", False) not in rows
    await changes_tell_the_story(product)
    await releaser(product).release()
    await all_is_well(product, number)


async def test_two_customers_of_an_older_rulebook_that_turn_out_to_be_one_are_released_and_merged(
    product: Product,
) -> None:
    await product.append(
        page_view(9001, identifiers={"user_id": "left"}, attributes={"region": "CN-11"}),
        page_view(9002, identifiers={"email": "right@example.com"}, attributes={"name": "Li"}),
    )
    await product.score()
    number = await publish(product.engine, OTHER_SIGNALS)
    await product.append(page_view(9003, identifiers={"user_id": "left", "email": "right@example.com"}))
    await product.score()
    view = await product.view("user_id", "left")
    assert (view["interactions"], view["attributes"]) == (3, {"name": "Li", "region": "CN-11"})
    await releaser(product).release()
    await all_is_well(product, number)


async def test_the_sweep_brings_up_whom_it_reviews(product: Product) -> None:
    number = await publish(product.engine, OTHER_SIGNALS)
    at = datetime.now(UTC) + timedelta(days=40)
    metrics = ScoringMetrics(CollectorRegistry())
    await Sweeper(product.engine, Rulebooks(), metrics, product.vault).sweep(at)
    assert (await on_rulebooks(product.engine))[number] > 10
    assert (await Rebuild(product.engine, product.vault, repair=False).everyone()).differences == []
    await releaser(product).release()
    await all_is_well(product, number)


async def test_a_pass_that_is_killed_is_taken_up_again(product: Product) -> None:
    number = await publish(product.engine, STRICTER)
    killed = asyncio.create_task(releaser(product, 3).release())
    await some_are_on(product, number)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    assert len(await on_rulebooks(product.engine)) == 2
    assert not await released(product.engine)
    assert (await Rebuild(product.engine, product.vault, repair=False).everyone()).differences == []
    await releaser(product).release()
    await all_is_well(product, number)


async def test_customers_that_others_hold_are_waited_for(product: Product) -> None:
    number = await publish(product.engine, STRICTER)
    async with product.engine.connect() as connection:
        await connection.execute(text("SELECT FROM customers WHERE id % 3 = 0 FOR UPDATE"))
        running = asyncio.create_task(releaser(product).release())
        await some_are_on(product, number, count=20)
        await asyncio.sleep(0.1)
        assert not running.done()
        await connection.rollback()
    await running
    await all_is_well(product, number)


async def test_publishing_twice_brings_everyone_to_the_last(product: Product) -> None:
    first = await publish(product.engine, OTHER_TAGS)
    running = asyncio.create_task(releaser(product, 3).release())
    await some_are_on(product, first)
    second = await publish(product.engine, STRICTER)
    await running
    await all_is_well(product, second)
    async with product.engine.connect() as connection:
        newest, overtaken, _ = await rulebooks.releases(connection)
    assert newest.released_at is not None
    assert overtaken.released_at is None


async def test_publishing_waits_for_who_is_writing_and_is_seen_by_who_comes_after(product: Product) -> None:
    held = Rulebooks()
    async with product.engine.begin() as writing:
        old = await held.hold_in_force(writing)
        publishing = asyncio.create_task(publish(product.engine, STRICTER))
        await asyncio.sleep(0.1)
        assert not publishing.done()
        async with product.engine.connect() as reading:
            assert await held.in_force(reading) == old
    number = await publishing
    async with product.engine.begin() as writing:
        assert (await held.hold_in_force(writing)).id == number


async def test_rolling_back_gives_the_results_of_before(product: Product) -> None:
    before = await results(product.engine)
    await publish(product.engine, OTHER_SIGNALS)
    await releaser(product).release()
    assert await results(product.engine) != before
    async with product.engine.begin() as connection:
        number = await rulebooks.roll_back(connection)
    await releaser(product).release()
    assert await results(product.engine) == before
    await all_is_well(product, number)
    async with product.engine.connect() as connection:
        assert [release.version for release in await rulebooks.releases(connection)] == [
            "2026-11", "other signals", "2026-11"
        ]  # fmt: skip


async def test_rolling_back_to_what_never_was_is_refused(product: Product) -> None:
    async with product.engine.begin() as connection:
        with pytest.raises(NotFound, match="no other rulebook"):
            await rulebooks.roll_back(connection)
        with pytest.raises(NotFound, match="there are 2026-11"):
            await rulebooks.roll_back(connection, "2025")


async def test_a_quiet_release_publishes_nothing(product: Product) -> None:
    await product.relay()
    before = {topic: len(await product.published(topic)) for topic in topics.PUBLISHED}
    number = await publish(product.engine, OTHER_TAGS, quiet=True)
    await releaser(product).release()
    await product.relay()
    assert {topic: len(await product.published(topic)) for topic in topics.PUBLISHED} == before
    await all_is_well(product, number)


async def test_a_loud_release_publishes_its_changes_with_their_cause(product: Product) -> None:
    await product.relay()
    before = len(await product.published(topics.TIER_CHANGES))
    await publish(product.engine, STRICTER)
    await releaser(product).release()
    await product.relay()
    told = [data for _, data in await product.published(topics.TIER_CHANGES) if data["rulebook"] == "stricter"]
    assert len(told) == len(await product.published(topics.TIER_CHANGES)) - before > 5
    assert all(data["cause"] == {"kind": "release"} and data["from"] < data["to"] for data in told)


async def test_a_wrong_rulebook_is_refused_whole_and_the_running_one_goes_on(product: Product) -> None:
    wrong = rulebook("wrong", ("{A: 65, B: 45", "{A: 45, B: 65"), ("weight: 0.35", "weight: 0.45"))
    with pytest.raises(RulebookError) as refused:
        await publish(product.engine, wrong)
    assert len(refused.value.errors) == 2
    await product.append(page_view(9001, identifiers={"user_id": "u1"}))
    await product.score()
    await releaser(product).release()
    await all_is_well(product, 1)


async def test_a_version_is_one_document_for_ever(product: Product) -> None:
    with pytest.raises(VersionTaken, match="version 2026-11 was published as number 1"):
        await publish(product.engine, default_text().replace("{A: 65", "{A: 66"))
    assert await publish(product.engine, default_text()) == 1
    assert await publish(product.engine, "# What we agreed on in May\n" + default_text()) == 1


@pytest.mark.parametrize("document", EVERYWHERE, ids=lambda document: load(document).version)
async def test_a_simulation_writes_nothing_and_tells_what_publishing_then_does(product: Product, document: str) -> None:
    before = await facets(product.engine), await results(product.engine)
    moves = await Simulation(product.engine, product.vault, load(document), movers_max=5).everyone()
    assert (await facets(product.engine), await results(product.engine)) == before
    assert "release" not in await causes(product.engine)

    await publish(product.engine, document)
    await releaser(product).release()
    after = await facets(product.engine)
    assert moves.customers == len(after)
    for aspect, column in (("tier", 0), ("intent", 1), ("lifecycle", 2)):
        assert moves.matrices[aspect] == Counter((before[0][id_][column], after[id_][column]) for id_ in after)
    async with product.engine.connect() as connection:
        rows = await connection.execute(
            select(changes.c.aspect, changes.c.customer_id).where(changes.c.cause == "release")
        )
        told = list(map(tuple, rows))
    assert moves.changes == Counter(aspect for aspect, _ in told)
    assert moves.changed == len({id_ for _, id_ in told})
    distances = [mover.distance for mover in moves.movers]
    assert distances == sorted(distances, reverse=True)
    assert (moves.refolded > 0) is (document == OTHER_SIGNALS)


async def facets(engine: AsyncEngine) -> dict[int, tuple[str, str, str]]:
    return {id_: (row["tier"], row["intent"], row["stage"]) for id_, row in (await listed(engine)).items()}


async def test_a_customer_whose_interactions_are_gone_keeps_what_is_known(product: Product) -> None:
    async with product.engine.begin() as connection:
        await connection.execute(text("DELETE FROM interactions WHERE customer_id % 2 = 0"))
    number = await publish(product.engine, OTHER_SIGNALS)
    await releaser(product).release()
    assert set(await on_rulebooks(product.engine)) == {number}
    report = await Rebuild(product.engine, product.vault, repair=False).everyone()
    assert {one.part for one in report.differences} == {"*"}
    await changes_tell_the_story(product)
    async with product.engine.connect() as connection:
        query = select(customers.c.ledger).where(customers.c.id % 2 == 0, customers.c.merged_into.is_(None))
        assert all(len(packed) > 5 for packed in (await connection.execute(query)).scalars())


async def test_what_was_damaged_is_classified_anew(product: Product) -> None:
    async with product.engine.begin() as connection:
        await connection.execute(update(customers).where(customers.c.id % 2 == 0).values(result=b"short"))
    await publish(product.engine, STRICTER)
    await releaser(product).release()
    assert (await Rebuild(product.engine, product.vault, repair=False).everyone()).differences == []
