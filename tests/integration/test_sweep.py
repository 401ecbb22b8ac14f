"""The sweep on a real PostgreSQL: time alone changes classifications, and no other way than classifying would."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.listed import listed
from tests.support.scoring import append, score, view_by
from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import changes, customers, reviews
from tierwise.domain import attributes, packed_ledger
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import default_text, load
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream
from tierwise_scoring.customers import lock_due
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.sweep import Sweeper

CUSTOMERS = 60


@pytest.fixture
async def stream(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Stream]:
    async with open_stream(settings, engine, vault) as stream:
        yield stream


@pytest.fixture
def sweeper(engine: AsyncEngine, vault: Vault) -> Sweeper:
    return Sweeper(engine, Rulebooks(), ScoringMetrics(CollectorRegistry()), vault)


def lately(rng: random.Random) -> list[Interaction]:
    """What some customers did in the last months, up to now."""
    now = datetime.now(UTC)
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("web", "page_view", {"path": "/pricing"}),
        ("email", "clicked", {}),
        ("call", "completed", {"duration_s": 90}),
        ("order", "purchase", {"amount": "400.00"}),
    ]
    made = []
    for number in range(CUSTOMERS * 6):
        channel, type_, properties = kinds[rng.choice([0, 0, 0, 1, 2, 3])]
        made.append(
            Interaction(
                id=f"i{number}",
                source="shop",
                time=now - timedelta(minutes=rng.randrange(60 * 24 * 100)),
                received=now,
                channel=channel,
                type=type_,
                identifiers={"user_id": f"u{number % CUSTOMERS}"},
                properties=properties,
            )
        )
    return made


async def stored_and_right(engine: AsyncEngine, at: datetime) -> tuple[list[bytes], list[bytes]]:
    """The stored results, and what classifying the stored ledgers at `at` gives."""
    rulebook = load(default_text())
    async with engine.connect() as connection:
        rows = (await connection.execute(select(customers).order_by(customers.c.id))).all()
    held = [attributes.unpack(row.attributes) for row in rows]
    ledgers = packed_ledger.unpack([row.ledger for row in rows])
    right = classify(ledgers, attribute_columns(held, rulebook), at, rulebook).result
    return [row.result for row in rows], [one.tobytes() for one in right]


async def test_after_a_sweep_everyone_is_as_classifying_now_would_have_it(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, sweeper: Sweeper
) -> None:
    await append(stream, vault, lately(random.Random(3)))
    await score(engine, stream, vault, settings)
    now = datetime.now(UTC)
    for days in (1, 2, 3, 17, 60, 200, 900):  # also after pauses of a month and more
        at = now + timedelta(days=days)
        await sweeper.sweep(at)
        stored, right = await stored_and_right(engine, at)
        assert stored == right, days
    async with engine.connect() as connection:
        kinds = (await connection.execute(select(changes.c.cause, func.count()).group_by(changes.c.cause))).all()
        gaps = await connection.execute(
            text("SELECT customer_id FROM changes GROUP BY 1 HAVING max(sequence) <> count(*) OR min(sequence) <> 1")
        )
        assert gaps.all() == []
    assert dict(map(tuple, kinds))["time"] > CUSTOMERS


async def test_a_sweep_again_changes_nothing(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, sweeper: Sweeper
) -> None:
    await append(stream, vault, lately(random.Random(4)))
    await score(engine, stream, vault, settings)
    at = datetime.now(UTC) + timedelta(days=40)
    assert await sweeper.sweep(at) > 0
    before = await view_by(engine, vault, "user_id", "u1")
    assert await sweeper.sweep(at) == 0
    assert await view_by(engine, vault, "user_id", "u1") == before


async def test_facets_and_the_day_of_a_stage_follow(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, sweeper: Sweeper
) -> None:
    now = datetime.now(UTC)
    bought = Interaction(
        id="i1", source="shop", time=now, received=now, channel="order", type="purchase",
        identifiers={"user_id": "u1"}, properties={"amount": "10.00"},
    )  # fmt: skip
    await append(stream, vault, [bought])
    await score(engine, stream, vault, settings)
    at = now + timedelta(days=130)
    await sweeper.sweep(at)
    view = await view_by(engine, vault, "user_id", "u1")
    assert view["lifecycle"]["stage"] == "dormant"
    rulebook = load(default_text())
    assert view["lifecycle"]["since"] == at.astimezone(rulebook.days.zone).date().isoformat()
    assert [row["stage"] for row in (await listed(engine)).values()] == ["dormant"]


async def test_two_sweepers_and_scoring_at_once_lose_nothing(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, sweeper: Sweeper
) -> None:
    await append(stream, vault, lately(random.Random(5)))
    await score(engine, stream, vault, settings)
    at = datetime.now(UTC) + timedelta(days=20)
    more = lately(random.Random(6))
    fresh = [Interaction(**{**_fields(one), "id": f"more-{one.id}"}) for one in more]
    await append(stream, vault, fresh)
    await asyncio.gather(sweeper.sweep(at), sweeper.sweep(at), score(engine, stream, vault, settings))
    await sweeper.sweep(at)  # those whom the others held
    stored, right = await stored_and_right(engine, at)
    assert stored == right
    assert (await view_by(engine, vault, "user_id", "u1"))["interactions"] == 12


async def test_who_was_reviewed_after_the_page_was_read_is_not_reviewed_again(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, sweeper: Sweeper
) -> None:
    await append(stream, vault, lately(random.Random(7)))
    await score(engine, stream, vault, settings)
    at = datetime.now(UTC) + timedelta(days=20)
    async with engine.connect() as connection:
        due = (await connection.execute(select(reviews.c.customer_id).where(reviews.c.due <= at))).scalars().all()
        tx = await driver_connection(connection)
        assert (await lock_due(tx, due, at)).ids == sorted(due)
        await connection.rollback()
    await sweeper.sweep(at)
    async with engine.connect() as connection:
        assert (await lock_due(await driver_connection(connection), due, at)).ids == []


def _fields(one: Interaction) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


async def test_nobody_is_due_for_whom_time_changes_nothing(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, sweeper: Sweeper
) -> None:
    now = datetime.now(UTC)
    note = Interaction(
        id="i1", source="crm", time=now, received=now, channel="crm", type="note", identifiers={"crm_id": "c1"}
    )
    await append(stream, vault, [note])
    await score(engine, stream, vault, settings)
    async with engine.connect() as connection:
        due = (await connection.execute(select(reviews))).all()
    stored, right = await stored_and_right(engine, now + timedelta(days=1000))
    assert due == []
    assert stored == right
    assert np.frombuffer(stored[0], load(default_text()).result)["stage"][0] >= 0
