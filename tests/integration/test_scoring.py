"""Workers, relay and the embedded stream on a real PostgreSQL: what is appended is what is served, once."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product, history, page_view, purchase
from tests.support.scoring import score, views, worker
from tierwise.db.tables import changes, customers, dead_letters, interactions, stream_positions
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing, PositionLost, Reader, Slice
from tierwise_scoring.batch import decode_slices
from tierwise_scoring.positions import LogReplaced
from tierwise_scoring.service import Ended, lasting, work_until_cancelled
from tierwise_scoring.turns import Turn
from tierwise_scoring.worker import GROUP


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


async def test_an_interaction_becomes_a_classified_customer(product: Product) -> None:
    await product.append(page_view(1), purchase(2, "1299.00"))
    await product.score()
    view = await product.view("user_id", "u1")
    assert view["interactions"] == 2
    assert view["orders"] == {
        "count": 1, "amount": "1299.00", "currency": "CNY", "first": "2026-11-20", "last": "2026-11-20"
    }  # fmt: skip
    assert view["lifecycle"]["stage"] == "new"
    assert view["first_seen"] == "2026-11-20T02:01:00Z"
    assert view["last_seen"] == "2026-11-20T02:02:00Z"
    assert view["version"] == 1


async def test_a_repeat_changes_nothing(product: Product) -> None:
    await product.append(page_view(1), page_view(1))
    await product.score()
    before = await product.view("user_id", "u1")
    await product.append(page_view(1))
    await product.score()
    assert await product.view("user_id", "u1") == before
    assert before["interactions"] == 1
    assert await product.count(interactions) == 1


async def test_the_position_moves_when_a_batch_held_nothing_new(product: Product) -> None:
    for _ in range(2):
        await product.append(page_view(1))
        await product.score()
    async with product.engine.connect() as connection:
        total = (await connection.execute(select(func.sum(stream_positions.c.position)))).scalar_one()
    assert total == 2


async def test_order_batches_and_workers_make_no_difference(product: Product, settings: Settings) -> None:
    everything = history(random.Random(7), customers=40, interactions=600)
    await product.append(*everything)
    await product.score()
    once = await views(product.engine, product.vault)
    async with product.engine.begin() as connection:
        await connection.execute(
            text("TRUNCATE customers, customer_facets, identifiers, interactions, interaction_keys, changes")
        )
    random.Random(8).shuffle(everything)
    for start in range(0, len(everything), 97):
        await product.append(*everything[start : start + 120])  # overlapping, so with repeats
    small = settings.model_copy(update={"scoring_batch_max": 13})
    await score(product.engine, product.stream, product.vault, small, workers=3)
    assert await views(product.engine, product.vault) == once
    assert len(once) > 20


async def test_an_interaction_with_two_identifiers_merges_two_customers(product: Product) -> None:
    await product.append(
        purchase(1, "10.00", identifiers={"anonymous_id": "a1"}, attributes={"region": "CN-31"}),
        purchase(2, "20.00", identifiers={"email": "li@example.com"}, attributes={"region": "CN-11"}),
    )
    await product.score()
    loser = await product.view("email", "li@example.com")
    await product.append(page_view(3, identifiers={"anonymous_id": "a1", "email": "li@example.com"}))
    await product.score()
    winner = await product.view("anonymous_id", "a1")
    assert await product.view("email", "li@example.com") == winner
    assert winner["customer_id"] != loser["customer_id"] or loser["version"] < winner["version"]
    assert winner["orders"]["amount"] == "30.00"
    assert winner["interactions"] == 3
    assert winner["attributes"] == {"region": "CN-11"}
    assert {one["kind"] for one in winner["identifiers"]} == {"anonymous_id", "email"}
    await product.relay()
    [(headers, data)] = await product.published(topics.MERGES)
    assert headers["ce_type"] == "tierwise.customer.merged.v1"
    assert data["customer_id"] == winner["customer_id"]
    assert len(data["merged"]) == 1


async def test_a_source_that_may_not_link_never_merges(product: Product) -> None:
    await product.append(page_view(1, identifiers={"user_id": "u1"}), page_view(2, identifiers={"email": "a@b.co"}))
    await product.append(page_view(3, identifiers={"user_id": "u1", "email": "a@b.co"}, links=False))
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 2
    assert (await product.view("email", "a@b.co"))["interactions"] == 1


async def test_crosswise_merges_of_two_workers_end_with_one_customer(product: Product) -> None:
    people = 30
    await product.append(*(page_view(n, identifiers={"user_id": f"u{n}"}) for n in range(people)))
    await product.append(*(page_view(100 + n, identifiers={"email": f"e{n}@example.com"}) for n in range(people)))
    await product.score()
    # Chains in both directions, on all partitions: every worker has a part of each.
    chain = [{"user_id": f"u{n}", "email": f"e{n}@example.com"} for n in range(people)]
    chain += [{"user_id": f"u{n}", "email": f"e{(n + 1) % people}@example.com"} for n in reversed(range(people))]
    small = product.settings.model_copy(update={"scoring_batch_max": 3})
    await product.append(*(page_view(200 + n, identifiers=given) for n, given in enumerate(chain)))
    await score(product.engine, product.stream, product.vault, small, workers=2)
    view = await product.view("user_id", "u7")
    assert view["interactions"] == 4 * people
    assert len(view["identifiers"]) == 2 * people
    async with product.engine.connect() as connection:
        merged = await connection.execute(select(customers.c.merged_into).where(customers.c.merged_into.is_not(None)))
        assert len(set(merged.scalars())) == 1  # every loser names the final winner


async def test_changes_are_published_in_order_and_without_gap(product: Product) -> None:
    for number in range(6):
        await product.append(*(purchase(10 * number + n, "900.00", identifiers={"user_id": f"u{n}"}) for n in range(5)))
        await product.score()
        await product.relay()
    everything = []
    for topic in topics.PUBLISHED:
        everything += await product.published(topic)
    assert len(everything) == await product.count(changes)
    sequences: dict[str, list[int]] = {}
    for headers, data in everything:
        assert headers["ce_id"] == f"{data['customer_id']}:{data['sequence']}"
        assert headers["ce_subject"] == data["customer_id"]
        sequences.setdefault(data["customer_id"], []).append(data["sequence"])
    assert len(sequences) == 5
    assert all(sorted(held) == list(range(1, len(held) + 1)) for held in sequences.values())
    tiers = [data for _, data in await product.published(topics.TIER_CHANGES)]
    first = next(data for data in tiers if data["from"] is None)
    assert first["cause"] == {"kind": "interaction", "interaction": first["cause"]["interaction"], "source": "shop"}
    assert sum(part["points"] for part in first["reasons"]) <= first["score"] + 0.1
    stages = [data for _, data in await product.published(topics.LIFECYCLE_CHANGES)]
    assert [(data["to"], data["reasons"][0]["part"]) for data in stages] == [(data["to"],) * 2 for data in stages]
    assert all("(purchase) [" in data["reasons"][0]["rule"] for data in stages)
    await product.relay()
    assert len(await product.published(topics.TIER_CHANGES)) == len(tiers)


async def test_nothing_is_published_past_a_running_transaction(product: Product) -> None:
    async with product.engine.connect() as running:
        await running.execute(text("SELECT pg_current_xact_id()"))
        await product.append(page_view(1))
        await product.score()
        await product.relay()
        assert await product.published(topics.TIER_CHANGES) == []
    await product.relay()
    assert len(await product.published(topics.TIER_CHANGES)) == 1


async def test_quiet_interactions_write_history_and_publish_nothing(product: Product) -> None:
    await product.append(page_view(1, quiet=True, batch="old orders"))
    await product.score()
    await product.relay()
    assert await product.count(changes) > 0
    assert await product.published(topics.TIER_CHANGES) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe", "undecodable"),
        (b"{}", "undecodable"),
        (b"[" * 5_000, "undecodable"),
        (msgspec.json.encode(page_view(9, identifiers={})), "missing_identifier"),
        (msgspec.json.encode(page_view(9, channel="pigeon")), "unknown_channel"),
        (msgspec.json.encode(page_view(9, id="a\0b")), "nul_character"),
        (msgspec.json.encode(purchase(9, "9" * 30)), "invalid_amount"),
        (msgspec.json.encode(purchase(9, "abc")), "invalid_amount"),
        (msgspec.json.encode(page_view(9, time=datetime(9999, 1, 1, tzinfo=UTC))), "invalid_time"),
    ],
)
async def test_what_cannot_be_used_is_a_dead_letter_and_costs_its_neighbours_nothing(
    product: Product, value: bytes, reason: str
) -> None:
    poison = Outgoing(key=product.vault.identifier_hash("user_id", "u1"), value=value)
    await product.append(page_view(1))
    await product.stream.append(topics.INTERACTIONS, [poison])
    await product.append(page_view(2))
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 2
    async with product.engine.connect() as connection:
        [letter] = await connection.execute(select(dead_letters))
    assert letter.reason == reason
    assert product.vault.open(letter.ciphertext) == value
    assert letter.position == 1


async def test_an_interaction_that_the_database_refuses_is_isolated(product: Product) -> None:
    given = [page_view(number) for number in range(20)]
    given[11] = page_view(11, id="x" * 2_000)
    async with product.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE interactions ADD CHECK (length(id) < 1000)"))
    await product.append(*given)
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 19
    async with product.engine.connect() as connection:
        [letter] = await connection.execute(select(dead_letters.c.reason, dead_letters.c.detail))
    assert letter == ("unprocessable", "CheckViolationError while it was processed")


async def test_a_crash_before_the_commit_redelivers(product: Product) -> None:
    await product.append(*(page_view(number) for number in range(50)))
    async with product.engine.connect() as holder:
        # The worker waits for this lock inside its transaction, until it is killed.
        await holder.execute(text("LOCK TABLE interactions IN ACCESS EXCLUSIVE MODE"))
        victim = worker(product.engine, product.stream, product.vault, product.settings)
        running = asyncio.create_task(victim.run())
        await asyncio.sleep(0.7)
        running.cancel()
        await asyncio.wait({running})
    assert await product.count(customers) == 0
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 50


async def test_a_worker_that_lost_its_partition_rolls_back_and_reads_the_position_again(product: Product) -> None:
    await product.append(page_view(1))
    await product.score()
    zombie = worker(product.engine, product.stream, product.vault, product.settings)
    running = asyncio.create_task(zombie.run())
    await asyncio.sleep(0.3)
    async with product.engine.begin() as connection:  # as if another worker had scored the next record already
        await connection.execute(
            update(stream_positions)
            .where(stream_positions.c.position == 1)
            .values(position=stream_positions.c.position + 1)
        )
    await product.append(page_view(2), page_view(3))
    async with asyncio.timeout(10):
        while (await product.view("user_id", "u1"))["interactions"] < 2:  # noqa: ASYNC110  (in the database)
            await asyncio.sleep(0.05)
    zombie.stop()
    await running
    assert (await product.view("user_id", "u1"))["interactions"] == 2


async def test_what_is_read_anew_is_not_dropped_with_a_batch_that_is_refused_meanwhile(product: Product) -> None:
    """Partitions changed hands, a batch that was read before that is under way, and nothing comes after it."""
    await product.append(page_view(1))
    one = worker(product.engine, product.stream, product.vault, product.settings)
    reader = await product.stream.reader(topics.INTERACTIONS, group=GROUP, assigned=one._assigned, revoked=one._revoked)
    (part,) = await read_some(reader)
    elsewhere = decode_slices([dataclasses.replace(part, position=7)])
    one._committing.append(asyncio.create_task(one._commit(elsewhere, one._epoch, Turn())))
    one._rewinding = True
    await one._step(reader)
    await one._committed()
    await reader.close()
    assert await product.count(interactions) == 1


async def read_some(reader: Reader) -> Sequence[Slice]:
    while not (slices := await reader.read(max_records=10, max_wait_ms=500)):
        continue
    return slices


async def test_another_log_under_the_same_name_stops_scoring(product: Product) -> None:
    await product.append(page_view(1))
    await product.score()
    async with product.engine.begin() as connection:
        await connection.execute(update(stream_positions).values(topic_id="a topic that was deleted"))
    with pytest.raises(LogReplaced, match="reset-positions"):
        await worker(product.engine, product.stream, product.vault, product.settings).run()


async def test_a_position_that_the_log_does_not_hold_stops_scoring(product: Product) -> None:
    await product.append(page_view(1))
    await product.score()
    async with product.engine.begin() as connection:
        await connection.execute(update(stream_positions).values(position=1_000))
    with pytest.raises(PositionLost, match="Choose"):
        await worker(product.engine, product.stream, product.vault, product.settings).run()


async def test_personal_data_is_sealed_at_rest(product: Product) -> None:
    await product.append(
        page_view(
            1,
            identifiers={"email": "wang.secret@example.com", "phone": "+8613812345678"},
            attributes={"name": "王秘密", "region": "CN-31"},
            properties={"email": "wang.secret@example.com"},
        )
    )
    await product.score()
    secrets = ["wang.secret", "13812345678", "王秘密"]
    async with product.engine.connect() as connection:
        tables = (
            await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        ).scalars()
        for table in tables.all():
            rows = (await connection.execute(text(f'SELECT * FROM "{table}"'))).all()
            for value in (value for row in rows for value in row):
                stored = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                assert not any(secret.encode() in stored for secret in secrets), table
    assert (await product.view("phone", "+8613812345678"))["attributes"] == {"name": "王秘密", "region": "CN-31"}


async def test_a_worker_that_is_cancelled_from_inside_ends_the_service_instead_of_ending_unseen(
    product: Product,
) -> None:
    one = worker(product.engine, product.stream, product.vault, product.settings)
    guarded = asyncio.create_task(lasting(work_until_cancelled(one, reset=False)))
    while one.reader is None:  # noqa: ASYNC110  (it has no event for it)
        await asyncio.sleep(0.01)
    [inner] = [task for task in asyncio.all_tasks() if "Worker.run" in repr(task.get_coro())]
    inner.cancel()
    with pytest.raises(Ended, match="work_until_cancelled"):
        await guarded
