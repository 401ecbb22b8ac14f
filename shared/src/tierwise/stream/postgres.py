"""The embedded stream: an event log in PostgreSQL tables, for when no Apache Kafka is configured.

Records are as durable as a commit and sealed with the vault's key. See `tierwise.db.stream_tables` for how
positions come to appear in order, `postgres_append` and `postgres_reader` for the two ends.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import bindparam, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.stream_tables import stream_batches, stream_cluster, stream_heads, stream_topics
from tierwise.security.personal import Vault
from tierwise.stream.outgoing import by_partition, checked_size
from tierwise.stream.port import Assigned, Outgoing, Partition, Revoked, StreamUnavailable
from tierwise.stream.postgres_append import Appender, Topic
from tierwise.stream.postgres_reader import PostgresReader
from tierwise.stream.postgres_session import STATEMENT_TIMEOUT_S, unavailable_unless

_TRIM_ROWS_MAX = 200  # in one transaction: the partition's appenders wait for it

_TRIM = text("""
WITH gone AS (
    DELETE FROM stream_batches
    WHERE topic = :topic AND partition = :partition AND base_position IN (
        SELECT base_position FROM stream_batches
        WHERE topic = :topic AND partition = :partition
            AND base_position < :before AND base_position + count <= :before
        ORDER BY base_position LIMIT :rows_max)
    RETURNING base_position + count AS end_position
)
UPDATE stream_heads SET first = greatest(first, (SELECT max(end_position) FROM gone))
WHERE topic = :topic AND partition = :partition AND EXISTS (SELECT FROM gone)
RETURNING (SELECT count(*) FROM gone)
""")


class PostgresStream:
    """The port `tierwise.stream.port.Stream` over PostgreSQL tables."""

    def __init__(self, engine: AsyncEngine, vault: Vault, *, retention_hours: int) -> None:
        self._engine = engine
        self._vault = vault
        self._retention_hours = retention_hours
        self._appender = Appender(engine, vault)
        self._topics: dict[str, Topic] = {}

    async def append(self, topic: str, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        size_bytes = checked_size(records)
        known = self._topics.get(topic) or await self._load_topic(topic)
        if known is None:
            raise StreamUnavailable(f"the topic {topic} does not exist: run `tierwise migrate`")
        try:
            await self._appender.append(known, by_partition(records, known.partitions), size_bytes)
        except StreamUnavailable:
            self._topics.pop(topic, None)  # it may have been made anew
            raise

    async def reader(self, topic: str, *, group: str, assigned: Assigned, revoked: Revoked) -> PostgresReader:
        return PostgresReader(self._engine, self._vault, topic, group=group, on_assigned=assigned, on_revoked=revoked)

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        async with self._transaction("creating topics") as connection:
            await connection.execute(upsert(stream_cluster).values(only=True).on_conflict_do_nothing())
            for name, count in sorted(topics.items()):
                made = await connection.execute(
                    upsert(stream_topics)
                    .values(name=name, partitions=count)
                    .on_conflict_do_nothing(index_elements=["name"])
                    .returning(stream_topics.c.number)
                )
                number = made.scalar_one_or_none()
                if number is not None:
                    heads = [{"topic": number, "partition": index} for index in range(count)]
                    await connection.execute(insert(stream_heads), heads)

    async def partitions(self, topic: str) -> Sequence[Partition]:
        return list(await self.ends(topic))

    async def ends(self, topic: str) -> Mapping[Partition, int]:
        query = (
            select(stream_cluster.c.id, stream_topics.c.id, stream_heads.c.partition, stream_heads.c.next)
            .select_from(stream_topics)
            .join(stream_heads, stream_heads.c.topic == stream_topics.c.number)
            .join(stream_cluster, stream_cluster.c.only)
            .where(stream_topics.c.name == topic)
            .order_by(stream_heads.c.partition)
        )
        async with self._transaction("looking up partitions") as connection:
            rows = (await connection.execute(query)).all()
        return {Partition(cluster, id_, topic, index): end for cluster, id_, index, end in rows}

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        known = await self._load_topic(topic)
        if known is None:
            return
        for index, position in sorted(before.items()):
            bound = {"topic": known.number, "partition": index, "before": position, "rows_max": _TRIM_ROWS_MAX}
            deleted = _TRIM_ROWS_MAX
            while deleted == _TRIM_ROWS_MAX:
                async with self._transaction("trimming the stream") as connection:
                    deleted = (await connection.execute(_TRIM, bound)).scalar() or 0

    async def expire(self, topics: Sequence[str]) -> None:
        batches = stream_batches.c
        query = (
            select(stream_topics.c.name, batches.partition, func.max(batches.base_position + batches["count"]))
            .join(stream_topics, stream_topics.c.number == batches.topic)
            .where(stream_topics.c.name.in_(topics))
            .where(batches.appended_at < func.now() - func.make_interval(0, 0, 0, 0, bindparam("hours")))
            .group_by(stream_topics.c.name, batches.partition)
        )
        before: defaultdict[str, dict[int, int]] = defaultdict(dict)
        async with self._transaction("looking for expired records") as connection:
            for name, index, end in await connection.execute(query, {"hours": self._retention_hours}):
                before[name][index] = end
        for name, positions in before.items():
            await self.trim(name, positions)

    async def check(self) -> None:
        async with self._transaction("checking the stream") as connection:
            await connection.execute(select(stream_cluster.c.id))

    async def close(self) -> None:
        await self._appender.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _load_topic(self, name: str) -> Topic | None:
        topics = stream_topics.c
        query = select(topics.number, topics.id, topics.name, topics.partitions).where(topics.name == name)
        async with self._transaction("looking up the topic") as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        self._topics[name] = Topic(*row)
        return self._topics[name]

    @asynccontextmanager
    async def _transaction(self, doing: str) -> AsyncIterator[AsyncConnection]:
        with unavailable_unless(doing):
            async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._engine.begin() as connection:
                yield connection
