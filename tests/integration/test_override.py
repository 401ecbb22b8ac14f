"""Overrides through the whole of scoring: set by hand, shown beside what is computed, gone when they expire."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.scoring import append, score, view_by
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import changes, dead_letters, reviews
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.sweep import Sweeper

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def stream(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Stream]:
    async with open_stream(settings, engine, vault) as stream:
        yield stream


def note(number: int) -> Interaction:
    return Interaction(
        id=f"n{number}", source="crm", time=NOW, received=NOW, channel="crm", type="note", identifiers={"crm_id": "c1"}
    )


def override(number: int, aspect: str, value: str | None, **more: Any) -> Interaction:
    return Interaction(
        id=f"o{number}",
        source="console",
        time=NOW + timedelta(seconds=number),
        received=NOW,
        channel="crm",
        type="override",
        identifiers={"crm_id": "c1"},
        properties={"aspect": aspect, "value": value, "reason": "known for years", "author": "li", **more},
    )


async def test_what_a_person_sets_stands_beside_what_is_computed(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings
) -> None:
    await append(stream, vault, [note(1), override(1, "tier", "A"), override(2, "tag:need.asked", "quote")])
    await score(engine, stream, vault, settings)
    view = await view_by(engine, vault, "crm_id", "c1")
    assert view["tier"]["grade"] == "A"
    assert {"family": "need", "name": "asked", "value": "quote"}.items() <= view["tags"][-1].items()
    assert view["overrides"] == [
        {
            "aspect": aspect, "value": value, "computed": computed, "reason": "known for years", "author": "li",
            "expires": None,
        }
        for aspect, value, computed in (("tag:need.asked", "quote", None), ("tier", "A", "E"))
    ]  # fmt: skip
    assert view["interactions"] == 1
    assert view["attributes"] == {}


async def test_the_latest_override_counts_in_whatever_order_they_arrive(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings
) -> None:
    await append(stream, vault, [override(2, "tier", "B"), override(1, "tier", "A")])
    await score(engine, stream, vault, settings)
    assert (await view_by(engine, vault, "crm_id", "c1"))["tier"]["grade"] == "B"


async def test_taking_an_override_back_shows_what_is_computed(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings
) -> None:
    for number, value in enumerate(("A", None), start=1):
        await append(stream, vault, [override(number, "tier", value)])
        await score(engine, stream, vault, settings)
    view = await view_by(engine, vault, "crm_id", "c1")
    assert view["tier"]["grade"] == "E"
    assert view["overrides"] == []
    async with engine.connect() as connection:
        query = select(changes.c["from"], changes.c.to, changes.c.cause).where(changes.c.aspect == "tier")
        tiers = (await connection.execute(query.order_by(changes.c.sequence))).all()
    assert [tuple(row) for row in tiers] == [(None, "A", "override"), ("A", "E", "override")]


async def test_an_override_ends_at_the_moment_of_its_expiry(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings
) -> None:
    expires = NOW + timedelta(hours=5)
    await append(stream, vault, [note(1), override(1, "lifecycle", "loyal", expires=expires.isoformat())])
    await score(engine, stream, vault, settings)
    assert (await view_by(engine, vault, "crm_id", "c1"))["lifecycle"]["stage"] == "loyal"
    async with engine.connect() as connection:
        assert (await connection.execute(select(reviews.c.due))).scalar_one() == expires
    sweeper = Sweeper(engine, Rulebooks(), ScoringMetrics(CollectorRegistry()), vault)
    assert await sweeper.sweep(expires - timedelta(seconds=1)) == 0
    assert await sweeper.sweep(expires) == 1
    view = await view_by(engine, vault, "crm_id", "c1")
    assert view["lifecycle"]["stage"] == "prospect"
    assert view["overrides"] == []


@pytest.mark.parametrize(
    "properties", [{"aspect": 7}, {"value": 7}, {"expires": "tomorrow"}, {"expires": "2026-01-01T00:00:00"}]
)
async def test_what_is_no_override_is_a_dead_letter(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, properties: dict[str, Any]
) -> None:
    wrong = override(1, "tier", "A")
    wrong = msgspec.structs.replace(wrong, properties=wrong.properties | properties)
    await append(stream, vault, [note(1), wrong, note(2)])
    await score(engine, stream, vault, settings)
    view = await view_by(engine, vault, "crm_id", "c1")
    assert view["tier"]["grade"] == "E"
    assert view["interactions"] == 2
    async with engine.connect() as connection:
        assert (await connection.execute(select(dead_letters.c.reason))).scalar_one() == "invalid_override"


async def test_a_value_that_the_rulebook_does_not_know_changes_nothing(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings
) -> None:
    await append(stream, vault, [note(1), override(1, "tier", "Z"), override(2, "colour", "red")])
    await score(engine, stream, vault, settings)
    assert (await view_by(engine, vault, "crm_id", "c1"))["tier"]["grade"] == "E"
