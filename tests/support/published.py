"""What stands on the topics of changes, read as other systems read it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.database import test_settings
from tests.support.reading import Reading
from tierwise.db.engine import open_engine
from tierwise.security.personal import open_vault
from tierwise.stream.open import open_stream
from tierwise.stream.topics import DEAD_LETTERS, INTERACTIONS, PUBLISHED


class Event(NamedTuple):
    """A change. `id`: of the CloudEvent, by which a repeat is known."""

    topic: str
    id: str
    customer: str
    sequence: int
    data: dict[str, Any]


async def published_on_kafka(bootstrap_servers: str) -> list[Event]:
    """By topic, and within a customer in the order of the topic."""
    consumer = AIOKafkaConsumer(
        *PUBLISHED,
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        events = []
        ends = await consumer.end_offsets(list(consumer.assignment()))
        for partition in sorted(ends):
            while await consumer.position(partition) < ends[partition]:
                fetched = await consumer.getmany(partition, timeout_ms=500)
                events += [_event(one.topic, dict(one.headers), one.value) for one in fetched.get(partition, ())]
        return events
    finally:
        await consumer.stop()


async def published_in_tables(dsn: str, directory: Path) -> list[Event]:
    """The same of the embedded stream."""
    settings = test_settings(database_url=dsn, data_dir=directory)
    async with open_engine(settings) as engine:
        vault = await open_vault(engine, settings)
        async with open_stream(settings, engine, vault) as stream:
            events = []
            for topic in PUBLISHED:
                missing = sum((await stream.ends(topic)).values())
                reading = await Reading.join(stream, topic, group=f"tests of {topic}")
                events += [_event(topic, dict(one.headers), one.value) for one in await reading.until(missing)]
                await reading.reader.close()
            return events


def unrepeated(events: Iterable[Event]) -> list[Event]:
    """As a reader does that drops the events whose id it knows."""
    return list({event.id: event for event in reversed(list(events))}.values())[::-1]


def sequences(events: Sequence[Event]) -> dict[str, list[int]]:
    """Of each customer, over all topics, ascending."""
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(event.customer, []).append(event.sequence)
    return {customer: sorted(numbers) for customer, numbers in found.items()}


@asynccontextmanager
async def own_topics(bootstrap_servers: str) -> AsyncIterator[None]:
    """The product's topics exist only meanwhile: what one test leaves there, the next would score."""
    ours = {INTERACTIONS, DEAD_LETTERS, *PUBLISHED}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        held = ours & set(await admin.list_topics())
        assert not held, f"the broker of the tests is in use: it holds {', '.join(sorted(held))}"
        try:
            yield
        finally:
            await admin.delete_topics(sorted(ours & set(await admin.list_topics())))
    finally:
        await admin.close()


def _event(topic: str, headers: dict[str, bytes], value: bytes) -> Event:
    data = msgspec.json.decode(value)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_subject"].decode() == data["customer_id"]
    return Event(topic, headers["ce_id"].decode(), data["customer_id"], data["sequence"], data)
