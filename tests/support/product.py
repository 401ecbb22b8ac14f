"""The product in a test, from the stream to what is published, and what happens to it."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.reading import Reading
from tests.support.scoring import append, score, view_by
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.port import Stream
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.outboxes import ChangesOutbox, DeadLettersOutbox
from tierwise_scoring.relay import Outbox, Relay

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)


@dataclass
class Product:
    """What a test works on."""

    engine: AsyncEngine
    stream: Stream
    vault: Vault
    settings: Settings

    async def append(self, *given: Interaction) -> None:
        await append(self.stream, self.vault, given)

    async def score(self, *, workers: int = 1) -> None:
        await score(self.engine, self.stream, self.vault, self.settings, workers=workers)

    async def view(self, kind: str, value: str) -> dict[str, Any]:
        return await view_by(self.engine, self.vault, kind, value)

    async def count(self, table: Any) -> int:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(func.count()).select_from(table))).scalar_one()

    async def relay(self) -> None:
        outboxes: list[Outbox] = [ChangesOutbox(), DeadLettersOutbox(self.vault)]
        async with self.engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            published = ScoringMetrics(CollectorRegistry()).published
            await Relay(self.engine, self.stream, outboxes, published).drain(autocommit)

    async def published(self, topic: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Headers and data of everything on a topic, in order within each key."""
        there = sum((await self.stream.ends(topic)).values())
        reading = await Reading.join(self.stream, topic, group=f"test-{random.random()}")
        try:
            records = await reading.until(there)
        finally:
            await reading.reader.close()
        return [
            ({name: value.decode() for name, value in one.headers}, msgspec.json.decode(one.value)) for one in records
        ]


def page_view(number: int, **fields: Any) -> Interaction:
    plain: dict[str, Any] = {
        "id": f"i{number}",
        "source": "shop",
        "time": NOW + timedelta(minutes=number),
        "received": NOW,
        "channel": "web",
        "type": "page_view",
        "identifiers": {"user_id": "u1"},
    }
    return Interaction(**(plain | fields))


def purchase(number: int, amount: str, **fields: Any) -> Interaction:
    return page_view(number, **{"channel": "order", "type": "purchase", "properties": {"amount": amount}, **fields})


def history(rng: random.Random, *, customers: int, interactions: int) -> list[Interaction]:
    """Some customers are tied together on the way, directly and in chains."""
    made = []
    for number in range(interactions):
        who = rng.randrange(customers)
        kinds = {"user_id": f"u{who}", "email": f"e{who % 30}@example.com", "anonymous_id": f"a{who // 2}"}
        given = {kind: kinds[kind] for kind in rng.sample(list(kinds), rng.choice([1, 1, 1, 2]))}
        if set(given) > {"anonymous_id"} and rng.random() < 0.8:
            given.pop("anonymous_id")
        build = purchase(number, f"{rng.randint(1, 90_000) / 100:.2f}") if rng.random() < 0.2 else page_view(number)
        time = NOW - timedelta(minutes=rng.randrange(60 * 24 * 400))
        attributes = {"region": rng.choice(["CN-31", "CN-11"]), "name": f"n{number}"} if rng.random() < 0.3 else {}
        made.append(msgspec.structs.replace(build, identifiers=given, time=time, attributes=attributes))
    return made
