"""A subscriber to the topics of changes, which remembers all that it was given."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from tests.support.reading import Reading
from tierwise.stream.port import Partition, Record, Stream
from tierwise.stream.topics import PUBLISHED


class Event(NamedTuple):
    """`content`: a hash of topic and data."""

    id: str
    topic: str
    customer: str
    sequence: int
    content: bytes


class Subscriber:
    """`events`: by id, as they came first. `repeats`: how many came again."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.repeats = 0
        self._last: dict[tuple[str, str], int] = {}
        self._positions: dict[str, dict[Partition, int]] = {topic: {} for topic in PUBLISHED}

    async def more(self, stream: Stream) -> tuple[list[Event], list[str]]:
        """Those that are new on the topics, and what is wrong with them: a repeat that says something else, or
        changes of a customer out of order. Reads to what is the end now."""
        given = [
            event
            for events in await asyncio.gather(*(self._read(stream, topic) for topic in PUBLISHED))
            for event in events
        ]
        new, wrong = [], []
        for event in given:
            held = self.events.setdefault(event.id, event)
            if held is not event:
                self.repeats += 1
                if held.content != event.content:
                    wrong.append(f"{event.id} came again and said something else")
                continue
            new.append(event)
            last = self._last.get((event.topic, event.customer), 0)
            if event.sequence <= last:
                wrong.append(f"{event.id} came after {last} on {event.topic}")
            self._last[event.topic, event.customer] = event.sequence
        return new, wrong

    async def _read(self, stream: Stream, topic: str) -> list[Event]:
        positions = self._positions[topic]
        ends = await stream.ends(topic)
        missing = sum(end - positions.get(partition, 0) for partition, end in ends.items())
        if not missing:
            return []
        async with _reading(stream, topic, positions) as reading:
            return [_event(topic, record) for record in await reading.until(missing)]


@asynccontextmanager
async def _reading(stream: Stream, topic: str, positions: dict[Partition, int]) -> AsyncIterator[Reading]:
    reading = await Reading.join(stream, topic, group=f"torture {topic}", positions=positions)
    try:
        yield reading
    finally:
        await reading.reader.close()


def _event(topic: str, record: Record) -> Event:
    headers = dict(record.headers)
    data = msgspec.json.decode(record.value)
    content = content_of(topic, record.value)
    return Event(headers["ce_id"].decode(), topic, data["customer_id"], data["sequence"], content)


def content_of(topic: str, data: bytes) -> bytes:
    return blake2b(data, digest_size=16, person=topic.encode()[-16:]).digest()
