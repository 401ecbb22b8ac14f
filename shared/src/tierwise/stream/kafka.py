"""The stream on Apache Kafka, through aiokafka. See `kafka_append` and `kafka_reader` for the two ends."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tierwise.stream.kafka_access import KafkaAccess
from tierwise.stream.kafka_append import Append, PartitionQueue, Producer
from tierwise.stream.kafka_cluster import KafkaCluster, unavailable_unless
from tierwise.stream.kafka_reader import KafkaReader
from tierwise.stream.outgoing import by_partition, checked_size
from tierwise.stream.port import Assigned, Outgoing, Partition, Revoked, StreamUnavailable
from tierwise.stream.topics import PUBLISHED

_MS_PER_HOUR = 3_600_000


class KafkaStream:
    """The port `tierwise.stream.port.Stream` over Apache Kafka 2.8 or newer."""

    def __init__(self, access: KafkaAccess | str, *, replication_factor: int, retention_hours: int) -> None:
        """`access`: a text stands for brokers that ask nothing."""
        self._access = KafkaAccess(access) if isinstance(access, str) else access
        self._replication_factor = replication_factor
        self._retention_hours = retention_hours
        self._cluster = KafkaCluster(self._access)
        self._producer: Producer | None = None
        self._starting: asyncio.Task[Producer] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._queues: dict[tuple[str, int], PartitionQueue] = {}
        self._existing: set[str] = set()

    async def append(self, topic: str, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        checked_size(records)
        producer = self._producer
        try:
            if producer is None or producer.broken or topic not in self._existing:
                producer = await self._ready(topic)
            append = Append()
            now_ms = time.time_ns() // 1_000_000
            for index, some in by_partition(records, producer.partition_count(topic)).items():
                queue = self._queues.get((topic, index))
                if queue is None:
                    queue = self._queues[topic, index] = PartitionQueue(producer, topic, index)
                queue.put(some, now_ms, append)
            await append.durable
        except StreamUnavailable:
            self._existing.discard(topic)  # it may have been deleted
            raise

    async def reader(self, topic: str, *, group: str, assigned: Assigned, revoked: Revoked) -> KafkaReader:
        return KafkaReader(
            self._access,
            self._cluster,
            topic,
            group=group,
            on_assigned=assigned,
            on_revoked=revoked,
        )

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(self._retention_hours * _MS_PER_HOUR),
            # An acknowledged record survives the loss of a broker, and one broker may be away, from three on.
            "min.insync.replicas": "2" if self._replication_factor >= 3 else "1",
            # The broker's clock: of ours, where it is off, records would be refused as of the future, or expire at once
            "message.timestamp.type": "LogAppendTime",
        }
        # Others' clients read these: not all of them know Snappy, which we send, but all know gzip.
        for_others = {name: count for name, count in topics.items() if name in PUBLISHED}
        our_own = {name: count for name, count in topics.items() if name not in PUBLISHED}
        with unavailable_unless("creating topics"):
            for some, further in ((our_own, {}), (for_others, {"compression.type": "gzip"})):
                if some:
                    await self._cluster.create_topics(
                        some, replication_factor=self._replication_factor, settings=settings | further
                    )

    async def partitions(self, topic: str) -> Sequence[Partition]:
        return (await self._cluster.describe([topic])).partitions(topic)

    async def ends(self, topic: str) -> Mapping[Partition, int]:
        return await self._cluster.ends(topic)

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Kafka keeps to the topic's retention."""

    async def expire(self, topics: Sequence[str]) -> None:
        """Kafka keeps to the topic's retention."""

    async def check(self) -> None:
        await self._cluster.describe([])

    async def close(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])
        self._let_go()
        if self._closing:
            await asyncio.wait(self._closing)
        await self._cluster.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ready(self, topic: str) -> Producer:
        """A producer that works, and knows the topic. Raises StreamUnavailable."""
        producer = await self._working_producer()
        with unavailable_unless(f"appending to {topic}"):
            # Asked with our own request, because aiokafka's would have the broker create it with its defaults.
            if topic not in self._existing and not (await self._cluster.describe([topic])).partitions(topic):
                raise StreamUnavailable(f"the topic {topic} does not exist: run `tierwise migrate`")
            await producer.look_up(topic)
        self._existing.add(topic)
        if producer is not self._producer or producer.broken:
            raise StreamUnavailable("the producer failed")
        return producer

    async def _working_producer(self) -> Producer:
        """The producer, started or made anew if need be; callers share one attempt."""
        if self._producer is not None and not self._producer.broken:
            return self._producer
        self._let_go()
        if self._starting is None:
            self._starting = asyncio.create_task(Producer.start(self._access), name="stream-connect")
            self._starting.add_done_callback(self._started)
        await asyncio.wait([starting := self._starting])
        if (error := starting.exception()) is not None:
            raise StreamUnavailable(*error.args) from error
        return starting.result()

    def _started(self, task: "asyncio.Task[Producer]") -> None:
        self._starting = None
        if not task.cancelled() and task.exception() is None:
            self._producer = task.result()

    def _let_go(self) -> None:
        """Close the producer in the background: it may wait for answers of a broker that is away."""
        if self._producer is not None:
            task = asyncio.create_task(self._producer.close(), name="stream-producer-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._producer = None
        self._queues = {}
