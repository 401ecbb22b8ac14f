"""An import that is taken back leaves what there would be without it, wherever and in whatever order it was."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product, history, page_view, purchase
from tests.support.scoring import score, scored, views
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import batches, changes, customers, dead_letters, identifiers, interaction_keys, interactions
from tierwise.domain.customer_id import public_id
from tierwise.domain.interaction import Interaction, content_of, encode, strongest
from tierwise.domain.retraction import Retraction
from tierwise.domain.retraction import encode as encode_retraction
from tierwise.publishing.schemas import SCHEMAS
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.rebuild import Rebuild
from tierwise_scoring.retract import Retracting
from tierwise_scoring.worker import Worker

FIRST = datetime(2026, 11, 20, 3, tzinfo=UTC)
RETRACTED = FIRST + timedelta(hours=1)
SECOND = FIRST + timedelta(hours=2)
RETRACTION = Retraction(retracted_batch="orders", received_before=RETRACTED)


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


def imported(one: Interaction, *, received: datetime = FIRST, **fields: Any) -> Interaction:
    return msgspec.structs.replace(one, batch="orders", received=received, **fields)


async def append_at(product: Product, partition: int, *given: Interaction | Retraction) -> None:
    """In a partition of the test's choice, in this order."""
    await product.stream.append(
        topics.INTERACTIONS,
        [
            Outgoing(
                key=b"",
                value=encode_retraction(one) if isinstance(one, Retraction) else encode(one),
                partition=partition,
            )
            for one in given
        ],
    )


async def retract(product: Product, retraction: Retraction = RETRACTION) -> None:
    for partition in range(product.settings.stream_partitions):
        await append_at(product, partition, retraction)


async def rows(product: Product, table: Any) -> Sequence[Any]:
    async with product.engine.connect() as connection:
        return (await connection.execute(select(table).order_by(*table.primary_key))).all()


async def aspects_of(product: Product, customer_id: int) -> list[tuple[str, str | None, str | None, str, bool]]:
    found = await rows(product, changes)
    return [(row.aspect, row[6], row.to, row.cause, row.quiet) for row in found if row.customer_id == customer_id]


async def test_what_is_left_is_as_if_the_import_had_never_been(product: Product) -> None:
    everything = history(random.Random(7), customers=20, interactions=150)
    theirs = [imported(one) if number % 3 else one for number, one in enumerate(everything)]
    await product.append(*(one for one in theirs if one.batch is None))
    await product.score()
    async with product.engine.connect() as connection:
        alone = [row[0] for row in await connection.execute(select(interaction_keys.c.key))]
    await product.append(*(one for one in theirs if one.batch))
    await product.score()
    assert await product.count(interactions) == 150
    await retract(product)
    await product.score(workers=2)
    assert await product.count(interactions) == 50
    assert sorted(row.key for row in await rows(product, interaction_keys)) == sorted(alone)
    report = await Rebuild(product.engine, product.vault, repair=False).everyone()
    assert (report.different, report.interactions) == (0, 50)
    assert {row.cause for row in await rows(product, changes)} == {"interaction", "import"}


async def test_who_is_only_known_from_the_import_goes_with_it_and_everyone_is_told(product: Product) -> None:
    await product.append(imported(purchase(1, "900.00", identifiers={"user_id": "u1", "email": "a@b.co"})))
    await product.score()
    (before,) = await rows(product, customers)
    await retract(product)
    await product.score()
    for table in (customers, identifiers, interactions, interaction_keys):
        assert await product.count(table) == 0, table.name
    told = await aspects_of(product, before.id)
    arrived = [one for one in told if one[1] is None and one[2] is not None]
    left = told[len(arrived) : -1]
    assert [(aspect, new, None, "import", True) for aspect, _, new, *_ in arrived] == left  # in the history alone
    assert told[-1] == ("erase", None, None, "import", False)
    await product.relay()
    [(headers, event)] = await product.published(topics.ERASURES)
    jsonschema_rs.validate(dict(SCHEMAS[headers["ce_type"]]), event)
    assert (event["customer_id"], event["sequence"]) == (public_id(before.id), len(told))
    assert event["by"] == {"kind": "import"}
    for topic in (topics.TIER_CHANGES, topics.INTENT_CHANGES, topics.LIFECYCLE_CHANGES, topics.TAG_CHANGES):
        assert all(change["to"] is not None for _, change in await product.published(topic))
    await product.append(purchase(2, "10.00"))
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 1


async def test_a_retraction_that_overtakes_a_slower_partition_keeps_what_comes_after_it_out(product: Product) -> None:
    await append_at(product, 0, page_view(1), RETRACTION)
    await product.score()
    await append_at(product, 1, imported(page_view(2)), RETRACTION)
    await append_at(product, 2, RETRACTION, imported(page_view(3), received=SECOND))
    await product.score()
    view = await product.view("user_id", "u1")
    assert view["interactions"] == 2
    assert [row.id for row in await rows(product, interactions)] == ["i1", "i3"]


async def test_the_same_rows_count_again_when_they_come_after_it_and_in_another_partition(product: Product) -> None:
    await append_at(product, 0, imported(purchase(1, "10.00")))
    await product.score()
    corrected = imported(purchase(1, "25.00", identifiers={"user_id": "u2"}), received=SECOND)
    await append_at(product, 1, RETRACTION, corrected)  # the other partitions are slow
    await product.score()
    assert (await product.view("user_id", "u2"))["orders"]["amount"] == "25.00"
    await append_at(product, 0, RETRACTION)
    await append_at(product, 2, RETRACTION)
    await product.score()
    assert (await product.view("user_id", "u2"))["orders"]["amount"] == "25.00"
    assert await product.count(customers) == 1


async def test_taking_back_twice_changes_nothing_more(product: Product) -> None:
    await product.append(page_view(1), imported(page_view(2)))
    await product.score()
    await retract(product)
    await product.score()
    before = [await rows(product, table) for table in (customers, changes, interactions)]
    later = msgspec.structs.replace(RETRACTION, received_before=RETRACTED + timedelta(minutes=5))
    await retract(product, later)
    await product.score()
    assert [await rows(product, table) for table in (customers, changes, interactions)] == before


async def test_a_batch_that_nobody_knows_is_closed_and_nothing_else(product: Product) -> None:
    await product.append(page_view(1))
    await retract(product)
    await product.score()
    assert await product.count(interactions) == 1
    assert await product.count(dead_letters) == 0
    assert [row.name for row in await rows(product, batches)] == ["orders"]


async def test_done_again_after_a_crash_in_the_middle_it_goes_on_where_it_was(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierwise_scoring.retract._PAGE", 3)
    everyone = [page_view(number, identifiers={"user_id": f"u{number}"}) for number in range(10)]
    await product.append(
        *everyone, *(imported(purchase(20 + n, "5.00", identifiers={"user_id": f"u{n}"})) for n in range(10))
    )
    await product.score()
    dying = Retracting(product.engine, Rulebooks(), product.vault, RETRACTION)
    running = asyncio.create_task(dying.run())
    while await product.count(interactions) == 20:  # noqa: ASYNC110  (in the database)
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    middle = await product.count(interactions)
    assert 10 < middle < 20
    await retract(product)
    await product.score(workers=2)
    assert await product.count(interactions) == 10
    assert (await Rebuild(product.engine, product.vault, repair=False).everyone()).different == 0
    assert {view["orders"]["count"] for view in await views(product.engine, product.vault)} == {0}


async def test_a_customer_who_is_just_being_taken_back_is_born_anew_by_what_waited(product: Product) -> None:
    await product.append(imported(page_view(1)))
    await product.score()
    (before,) = await rows(product, customers)
    async with product.engine.begin() as holding:
        await holding.execute(text("SELECT FROM customers FOR UPDATE"))
        retracting = asyncio.create_task(Retracting(product.engine, Rulebooks(), product.vault, RETRACTION).run())
        await _waiting(product, 1)
        await product.append(page_view(2, identifiers={"user_id": "u1", "email": "new@example.com"}))
        scoring = asyncio.create_task(product.score())
        await _waiting(product, 2)
    assert await retracting == 1
    await scoring
    (after,) = await rows(product, customers)
    assert after.id != before.id
    assert (await product.view("email", "new@example.com"))["interactions"] == 1
    assert {row.customer_id for row in await rows(product, identifiers)} == {after.id}


async def _waiting(product: Product, count: int) -> None:
    """Until so many transactions wait for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(10):
        while True:
            async with product.engine.connect() as connection:
                if (await connection.execute(query)).scalar_one() >= count:
                    return
            await asyncio.sleep(0.01)


async def test_two_customers_that_the_import_tied_stay_one(product: Product) -> None:
    await product.append(page_view(1), page_view(2, identifiers={"email": "a@b.co"}))
    await product.append(imported(page_view(3, identifiers={"user_id": "u1", "email": "a@b.co"})))
    await product.score()
    await retract(product)
    await product.score()
    assert (await product.view("email", "a@b.co"))["interactions"] == 2
    assert (await Rebuild(product.engine, product.vault, repair=False).everyone()).different == 0


async def test_attributes_and_the_first_and_last_time_go_back_too(product: Product) -> None:
    await product.append(page_view(5, attributes={"region": "CN-31"}))
    await product.append(
        imported(page_view(9, attributes={"region": "CN-11", "name": "wrong"})),
        imported(page_view(1, time=datetime(2020, 1, 1, tzinfo=UTC))),
    )
    await product.score()
    version = (await product.view("user_id", "u1"))["version"]
    await retract(product)
    await product.score()
    view = await product.view("user_id", "u1")
    assert view["attributes"]["region"] == "CN-31"
    assert "name" not in view["attributes"]
    assert view["first_seen"] == view["last_seen"] == "2026-11-20T02:05:00Z"
    assert view["version"] > version


async def test_a_quiet_retraction_is_recorded_and_not_published(product: Product) -> None:
    await product.append(imported(purchase(1, "900.00"), quiet=True))
    await retract(product, msgspec.structs.replace(RETRACTION, quiet=True))
    await product.score()
    await product.relay()
    assert await product.published(topics.TIER_CHANGES) == []
    assert all(row.quiet for row in await rows(product, changes))


async def test_an_import_of_the_same_log_anew_gives_the_same(product: Product, postgres: Any, tmp_path: Any) -> None:
    """The whole log, retractions and all, read by an empty database."""
    draw = random.Random(3)
    first = [imported(one) for one in history(draw, customers=8, interactions=30)]
    second = [msgspec.structs.replace(one, received=SECOND) for one in first[::2]]
    for one in first:
        await append_at(product, draw.randrange(4), one)
    await retract(product)
    for one in second:
        await append_at(product, draw.randrange(4), one)
    await product.score()
    kept = {row.id for row in await rows(product, interactions)}
    assert kept == {one.id for one in second}
    expected = await views(product.engine, product.vault)
    async with product.engine.begin() as connection:
        await connection.execute(
            text(
                "TRUNCATE customers, customer_facets, identifiers, interactions, interaction_keys, changes, batches, "
                "reviews"
            )
        )
        await connection.execute(text("UPDATE stream_positions SET position = 0"))
    await score(
        product.engine, product.stream, product.vault,
        product.settings.model_copy(update={"scoring_batch_max": 17}), workers=3,
    )  # fmt: skip
    assert await views(product.engine, product.vault) == expected


async def test_a_repeat_with_another_content_is_counted_and_the_first_one_stands(product: Product) -> None:
    registry = CollectorRegistry()
    member = Worker(product.engine, product.stream, product.vault, product.settings, ScoringMetrics(registry))
    running = asyncio.create_task(member.run())
    first = purchase(1, "10.00", properties={"amount": "10.00", "currency": "CNY"})
    await product.append(first, purchase(2, "10.00"), purchase(2, "11.00"))
    await scored(product.engine, product.stream)
    again = msgspec.structs.replace(
        first, received=SECOND, batch="b", properties={"currency": "CNY", "amount": "10.00"}
    )
    await product.append(again, purchase(1, "99.00"), msgspec.structs.replace(first, source="other"))
    await scored(product.engine, product.stream)
    member.stop()
    await running
    assert b'tierwise_scoring_conflicting_repeats_total{source="shop"} 2.0' in generate_latest(registry)
    assert b"tierwise_scoring_duplicates_total 3.0" in generate_latest(registry)


def test_a_time_that_nobody_sent_is_no_content() -> None:
    arrived = page_view(1, time=FIRST, received=FIRST)
    assert content_of(arrived) == content_of(msgspec.structs.replace(arrived, time=SECOND, received=SECOND))
    assert content_of(arrived) != content_of(msgspec.structs.replace(arrived, time=SECOND))
    assert strongest(arrived.identifiers) == ("user_id", "u1")
