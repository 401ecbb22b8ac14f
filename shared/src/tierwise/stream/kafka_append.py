"""Appending to Kafka: an idempotent producer that is made anew when it fails, and one queue a partition.

While one request to a broker is under way, records of all callers gather in one open batch a partition, and aiokafka's
sender takes all of these at once: many small appends become few requests, as with the accumulator of Kafka's clients.
"""

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from tierwise.stream.kafka_access import KafkaAccess
from tierwise.stream.kafka_cluster import unavailable_unless
from tierwise.stream.port import Outgoing, StreamUnavailable

log = structlog.get_logger()

_BATCH_BYTES_MAX = 900_000  # before compression; brokers refuse batches over 1,048,588 bytes by default
_COMPRESSION = DefaultRecordBatch.CODEC_SNAPPY  # 0.15 us a record; aiokafka's LZ4, of level 9, takes 1 to 6
_REQUEST_TIMEOUT_MS = 5_000
_DELIVERY_TIMEOUT_S = 9.0  # room for one request to time out and be repeated; ingest gives up at 10
_START_TIMEOUT_S = 10.0
_NO_HEADERS: list[tuple[str, bytes]] = []


class Producer:
    """One AIOKafkaProducer's life. Once `broken` it is never used again."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(cls, access: KafkaAccess) -> "Producer":
        """Raises StreamUnavailable."""
        client = AIOKafkaProducer(
            **access.options(),
            acks="all",
            # What is repeated after a lost answer is dropped by the broker, and batches keep their order.
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES_MAX,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=60_000,
        )
        producer = cls(client)
        with unavailable_unless("connecting to Kafka"):
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await client.start()
            except KafkaConnectionError as error:
                await producer.close()
                raise StreamUnavailable(f"connecting to Kafka: {await access.why(error)}") from error
            except BaseException:
                await producer.close()
                raise
        return producer

    @property
    def broken(self) -> bool:
        return self._broken.done()

    async def look_up(self, topic: str) -> None:
        """Return when its partitions are known. Raises KafkaError."""
        await self._client.partitions_for(topic)

    def partition_count(self, topic: str) -> int:
        """Of a topic that was looked up. Raises StreamUnavailable where it is gone since."""
        partitions = self._client.client.cluster.partitions_for_topic(topic)
        if not partitions:
            raise StreamUnavailable(f"the topic {topic} is gone")
        return len(partitions)

    async def deliver(self, batch: BatchBuilder, topic: str, partition: int) -> None:
        """Return when all in-sync replicas have the batch. Raises StreamUnavailable, and is broken then.

        Why broken: the numbers of a batch that failed are used up, so that the broker refuses every later one as
        out of order; and one that is not answered in time would be repeated for ever.
        """
        doing = f"appending to {topic}[{partition}]"
        sent: asyncio.Future[object] | None = None
        try:
            if self.broken:
                raise StreamUnavailable(f"{doing}: the producer failed")
            async with asyncio.timeout(_DELIVERY_TIMEOUT_S):
                sent = await self._client.send_batch(batch, topic, partition=partition)
                await asyncio.wait([sent, self._broken], return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                raise StreamUnavailable(f"{doing}: the producer failed with another partition")
            sent.result()
        except TimeoutError as error:
            self._break()
            raise StreamUnavailable(f"{doing}: no answer within {_DELIVERY_TIMEOUT_S:.0f} s") from error
        except KafkaError as error:
            self._break()
            raise StreamUnavailable(f"{doing}: {error}") from error
        finally:
            if sent is not None:
                sent.cancel()  # what comes of it later is nobody's any more

    async def close(self) -> None:
        """Drop what is still under way. Not `stop`, which waits for batches that may never leave."""
        self._break()
        try:
            await self._client._sender.close()
        except KafkaError as error:
            log.warning("stream_producer_failed", reason=str(error))
        await self._client.client.close()
        self._client._closed = True

    def _break(self) -> None:
        if not self._broken.done():
            self._broken.set_result(None)


class Append:
    """One caller's wait for the batches that its records are in: `durable` is done when all are answered, or one
    failed."""

    __slots__ = ("_batches", "durable")

    def __init__(self) -> None:
        self.durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batches = 0

    def join(self, batch: "_Batch") -> None:
        batch.appends.append(self)
        self._batches += 1

    def answer(self, error: StreamUnavailable | None) -> None:
        self._batches -= 1
        if self.durable.done():  # another batch failed, or the caller has gone away
            return
        if error is not None:
            # Each caller its own: an exception that is raised twice collects both tracebacks.
            own = StreamUnavailable(*error.args)
            own.__cause__ = error
            self.durable.set_exception(own)
        elif self._batches == 0:
            self.durable.set_result(None)


class _Batch(BatchBuilder):  # type: ignore[misc]  # aiokafka has no types
    """Records of one partition that go together, until it is full, or `taken` by aiokafka's sender."""

    def __init__(self) -> None:
        super().__init__(_BATCH_BYTES_MAX, _COMPRESSION)
        self.appends: list[Append] = []
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, record: Outgoing, timestamp_ms: int) -> bool:
        """Whether there was room."""
        headers = list(record.headers) if record.headers else _NO_HEADERS
        return self.append(timestamp=timestamp_ms, key=record.key, value=record.value, headers=headers) is not None

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        # The sender has just counted the records: one more would have the sequence number of the next batch's first.
        self.close()
        super()._set_producer_state(producer_id, producer_epoch, base_sequence)
        self.taken.set_result(None)

    def answer(self, error: StreamUnavailable | None) -> None:
        if not self.taken.done():
            self.taken.set_result(None)  # it never will be: nobody is to wait for it
        for append in self.appends:
            append.answer(error)


class PartitionQueue:
    """What waits for one partition of one producer: one open batch, and before it those that were full."""

    def __init__(self, producer: Producer, topic: str, partition: int) -> None:
        self._producer, self._topic, self._partition = producer, topic, partition
        self._open: _Batch | None = None
        self._delivering: set[asyncio.Task[None]] = set()

    def put(self, records: Sequence[Outgoing], timestamp_ms: int, append: Append) -> None:
        """`append` is answered when the records are durable, or may not be."""
        batch, joined = self._open, None
        for record in records:
            if batch is None or not batch.add(record, timestamp_ms):
                batch = self._begin()
                batch.add(record, timestamp_ms)
            if joined is not batch:
                append.join(batch)
                joined = batch

    def _begin(self) -> _Batch:
        before, self._open = self._open, _Batch()
        task = asyncio.create_task(self._deliver(self._open, before), name="stream-deliver")
        self._delivering.add(task)
        task.add_done_callback(self._delivering.discard)
        return self._open

    async def _deliver(self, batch: _Batch, before: _Batch | None) -> None:
        try:
            if before is not None:
                await before.taken  # the sender has room for one of a partition
            await self._producer.deliver(batch, self._topic, self._partition)
        except StreamUnavailable as error:
            batch.answer(error)
        else:
            batch.answer(None)
