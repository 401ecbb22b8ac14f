"""Appending to Kafka: an idempotent producer that is made anew when it fails, and one queue a partition.

While one batch of a partition is under way, records of all callers gather in the next: that many small appends
become few requests, as Kafka's own clients do with their accumulator.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tierwise.stream.kafka_cluster import unavailable_unless
from tierwise.stream.port import Outgoing, StreamUnavailable

log = structlog.get_logger()

_BATCH_BYTES_MAX = 900_000  # before compression; brokers refuse batches over 1,048,588 bytes by default
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
    async def start(cls, bootstrap_servers: str) -> "Producer":
        """Raises StreamUnavailable."""
        client = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id="tierwise",
            acks="all",
            # What is repeated after a lost answer is dropped by the broker, and batches keep their order.
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=_BATCH_BYTES_MAX,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=60_000,
        )
        producer = cls(client)
        with unavailable_unless("connecting to Kafka"):
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await client.start()
            except BaseException:
                await producer.close()
                raise
        return producer

    @property
    def broken(self) -> bool:
        return self._broken.done()

    async def partition_count(self, topic: str) -> int:
        return len(await self._client.partitions_for(topic))

    def new_batch(self) -> Any:
        """A builder of aiokafka's: `append` answers None when it is full."""
        return self._client.create_batch()

    async def deliver(self, batch: Any, topic: str, partition: int) -> None:
        """Return when all in-sync replicas have the batch. Raises StreamUnavailable, and is broken then.

        Why broken: the numbers of a batch that failed are used up, so that the broker refuses every later one as
        out of order; and one that is not answered in time would be repeated for ever.
        """
        doing = f"appending to {topic}[{partition}]"
        sent: asyncio.Future[object] | None = None
        try:
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


class _Batch:
    """Records of one partition that go together. `delivered` is shared by the callers that put them in."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, error: StreamUnavailable | None) -> None:
        if error is None:
            self.delivered.set_result(None)
        else:
            self.delivered.set_exception(error)
            self.delivered.exception()  # its callers may all have gone away


class PartitionQueue:
    """What waits for one partition of one producer. One batch is under way at a time, as in aiokafka itself."""

    def __init__(self, producer: Producer, topic: str, partition: int) -> None:
        self._producer, self._topic, self._partition = producer, topic, partition
        self._waiting: deque[_Batch] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, records: Sequence[Outgoing], timestamp_ms: int) -> list["asyncio.Future[None]"]:
        """Answers the futures that say when the records are durable; they must not be cancelled."""
        if not self._waiting:
            self._waiting.append(_Batch(self._producer.new_batch()))
        touched = [self._waiting[-1]]
        append = touched[-1].builder.append
        for record in records:
            headers = list(record.headers) if record.headers else _NO_HEADERS
            if append(timestamp=timestamp_ms, key=record.key, value=record.value, headers=headers) is None:
                touched.append(_Batch(self._producer.new_batch()))
                self._waiting.append(touched[-1])
                append = touched[-1].builder.append
                append(timestamp=timestamp_ms, key=record.key, value=record.value, headers=headers)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._deliver_all(), name="stream-deliver")
        return [batch.delivered for batch in touched]

    async def _deliver_all(self) -> None:
        while self._waiting:
            batch = self._waiting.popleft()
            if self._producer.broken:
                batch.answer(StreamUnavailable("the producer failed"))
                continue
            try:
                await self._producer.deliver(batch.builder, self._topic, self._partition)
            except StreamUnavailable as error:
                batch.answer(error)
            else:
                batch.answer(None)
