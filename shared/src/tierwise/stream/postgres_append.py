"""Appending to the embedded stream: concurrent appends of this process share one transaction (group commit)."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.security.personal import Vault
from tierwise.stream import payload
from tierwise.stream.outgoing import size_of
from tierwise.stream.port import Outgoing, StreamUnavailable
from tierwise.stream.postgres_session import Session

CHANNEL = "tierwise_stream"
"""Notified with the topic's number after each append."""

_TRANSACTION_BYTES_MAX = 8_000_000
_ROW_BYTES_MAX = 500_000  # a reader opens rows whole

# $1-$3 are the heads to move, $4-$8 the rows to store. Heads are locked in the order of partitions, so that two
# appenders cannot wait for each other; held until the commit, so that a position is seen only when all lower ones are.
APPEND = f"""
WITH wanted AS (
    SELECT * FROM unnest($1::int[], $2::int[], $3::int[]) AS w (topic, partition, count)
), locked AS MATERIALIZED (
    SELECT h.topic, h.partition FROM stream_heads h JOIN wanted USING (topic, partition)
    ORDER BY h.topic, h.partition FOR UPDATE OF h
), moved AS (
    UPDATE stream_heads h SET next = h.next + w.count
    FROM locked l JOIN wanted w USING (topic, partition)
    WHERE h.topic = l.topic AND h.partition = l.partition
    RETURNING h.topic, h.partition, h.next - w.count AS base
), stored AS (
    INSERT INTO stream_batches (topic, partition, base_position, count, payload)
    SELECT r.topic, r.partition, m.base + r.start, r.count, r.payload
    FROM unnest($4::int[], $5::int[], $6::int[], $7::int[], $8::bytea[])
        AS r (topic, partition, start, count, payload)
    JOIN moved m USING (topic, partition)
)
SELECT topic, partition, pg_notify('{CHANNEL}', topic::text) FROM moved
"""


@dataclass(frozen=True, slots=True)
class Topic:
    """A row of `stream_topics`."""

    number: int
    id: str
    name: str
    partitions: int


@dataclass(frozen=True, slots=True, eq=False)
class _Append:
    """One caller's records and what it waits for."""

    topic: Topic
    records: Mapping[int, Sequence[Outgoing]]
    size_bytes: int
    durable: "asyncio.Future[None]" = field(repr=False)


class Appender:
    """While one transaction is under way, later appends gather and go together in the next."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._session = Session(engine)
        self._vault = vault
        self._waiting: deque[_Append] = deque()
        self._task: asyncio.Task[None] | None = None

    async def append(self, topic: Topic, records: Mapping[int, Sequence[Outgoing]], size_bytes: int) -> None:
        """Return when all records, by partition, are flushed to disk. Raises StreamUnavailable."""
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append(_Append(topic, records, size_bytes, durable))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_all(), name="stream-append")
        await durable

    async def close(self) -> None:
        if self._task is not None:
            await self._task
        await self._session.close()

    async def _commit_all(self) -> None:
        while group := self._next_group():
            try:
                missing = await self._commit(group)
            except StreamUnavailable as error:
                for append in group:
                    _answer(append, error)
                continue
            for append in group:
                gone = [index for index in append.records if (append.topic.number, index) in missing]
                _answer(append, StreamUnavailable(f"{append.topic.name} was deleted") if gone else None)

    def _next_group(self) -> list[_Append]:
        group: list[_Append] = []
        size_bytes = 0
        while self._waiting and (not group or size_bytes < _TRANSACTION_BYTES_MAX):
            append = self._waiting.popleft()
            if not append.durable.done():  # else its caller has gone away
                group.append(append)
                size_bytes += append.size_bytes
        return group

    async def _commit(self, group: Sequence[_Append]) -> set[tuple[int, int]]:
        """Append the group in one transaction; answers the (topic number, partition) that do not exist."""
        topics = {append.topic.number: append.topic for append in group}
        merged: defaultdict[tuple[int, int], list[Outgoing]] = defaultdict(list)
        for append in group:
            for index, records in append.records.items():
                merged[append.topic.number, index].extend(records)
        heads = [(number, index, len(records)) for (number, index), records in merged.items()]
        rows = [
            (number, index, start, len(part), self._seal(topics[number], index, part))
            for (number, index), records in merged.items()
            for start, part in _rows(records)
        ]
        arguments = [*zip(*heads, strict=True), *zip(*rows, strict=True)]
        async with self._session.use("appending to the stream") as connection:
            moved = await connection.fetch(APPEND, *arguments)
        return merged.keys() - {(row["topic"], row["partition"]) for row in moved}

    def _seal(self, topic: Topic, index: int, records: Sequence[Outgoing]) -> bytes:
        return payload.seal(records, self._vault, topic_id=topic.id, partition=index)


def _answer(append: _Append, error: StreamUnavailable | None) -> None:
    if append.durable.done():
        return
    if error is None:
        append.durable.set_result(None)
    else:
        # Each caller its own: an exception that is raised twice collects both tracebacks.
        own = StreamUnavailable(*error.args)
        own.__cause__ = error.__cause__
        append.durable.set_exception(own)


def _rows(records: Sequence[Outgoing]) -> Iterator[tuple[int, Sequence[Outgoing]]]:
    """The records cut into rows of limited size, each with the index of its first."""
    start = size_bytes = 0
    for index, record in enumerate(records):
        size = size_of(record)
        if size_bytes + size > _ROW_BYTES_MAX and index > start:
            yield start, records[start:index]
            start, size_bytes = index, 0
        size_bytes += size
    yield start, records[start:]
