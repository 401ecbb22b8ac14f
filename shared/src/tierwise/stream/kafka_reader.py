"""Reading from Kafka as a member of a consumer group, from positions that the database keeps."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from tierwise.stream.kafka_access import KafkaAccess, connected
from tierwise.stream.kafka_cluster import KafkaCluster, unavailable_unless
from tierwise.stream.port import (
    Assigned,
    Partition,
    PositionLost,
    Record,
    Revoked,
    Slice,
    StreamUnavailable,
)
from tierwise.waiting import happens_within

log = structlog.get_logger()

_BACKOFF_S = 0.5
_TOPIC_CHECK_S = 10.0  # how soon a topic that was deleted and made anew is noticed, and a consumer that failed
_STOP_WITHIN_S = 4.0  # else a group that is being divided anew would be waited for: whoever stops us kills us after 8

_GROUP = {
    # A member that died is missed for so long; its batch is repeated by another, which compare-and-set allows.
    "session_timeout_ms": 10_000,
    # Also how soon the others notice that the group changed.
    "heartbeat_interval_ms": 1_000,
    # How long the group waits for its members to give up what they hold; one batch takes well under a second.
    "rebalance_timeout_ms": 10_000,
    # Longer than the broker may keep a JoinGroup request waiting.
    "request_timeout_ms": 15_000,
    # A member that waits for the database stays a member; one that never reads again lets go in the end. (Unless
    # a fetch of it was cancelled: aiokafka 0.14 then takes it for busy for ever.)
    "max_poll_interval_ms": 300_000,
}
_FETCH = {
    "max_partition_fetch_bytes": 2_000_000,
    "fetch_max_bytes": 16_000_000,
    "check_crcs": True,
}
_POSITIONS = {
    # Positions live with their effects; where there is none, or one that the log lacks, the reader is told.
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
}


class _Held:
    """An assigned partition; thrown away when it is revoked or sought anew."""

    def __init__(self, partition: Partition, position: int | None = None) -> None:
        self.partition = partition
        self.position = position  # None until `assigned` has told; then of the next record to return

    @property
    def address(self) -> TopicPartition:
        return TopicPartition(self.partition.topic, self.partition.index)


class KafkaReader(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """The port `tierwise.stream.port.Reader`. A consumer that fails is replaced in the background."""

    def __init__(
        self,
        access: KafkaAccess,
        cluster: KafkaCluster,
        topic: str,
        *,
        group: str,
        on_assigned: Assigned,
        on_revoked: Revoked,
    ) -> None:
        self._access, self._cluster = access, cluster
        self._topic, self._group = topic, group
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: dict[int, Partition] = {}
        self._held: dict[int, _Held] = {}
        self._fetching: tuple[asyncio.Task[Mapping[TopicPartition, list[ConsumerRecord]]], list[_Held]] | None = None
        self._away: StreamUnavailable | None = None
        self._failed_callback: BaseException | None = None
        self._changed = asyncio.Event()
        self._replace = asyncio.Event()
        self._callback = asyncio.Lock()
        self._task = asyncio.create_task(self._keep_a_consumer(), name=f"stream-group-{group}")

    async def read(self, *, max_records: int, max_wait_ms: int) -> Sequence[Slice]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + max_wait_ms / 1000
        while True:
            self._changed.clear()
            self._raise_failures()
            await self._position_new()
            wait_s = max(0.0, deadline - clock())
            if slices := await self._fetch(max_records, wait_s):
                return slices
            wait_s = deadline - clock()
            if wait_s <= 0:
                return []
            if not self.assigned():
                await happens_within(self._changed, wait_s)

    async def seek(self, partition: Partition, position: int) -> None:
        held = self._held.get(partition.index)
        if held is not None and held.partition == partition:
            await self._end_waiting_fetch()
            if self._consumer is not None and self._held.get(partition.index) is held:
                self._held[partition.index] = _Held(partition, position)
                self._consumer.seek(held.address, position)

    def assigned(self) -> Sequence[Partition]:
        return [held.partition for _, held in sorted(self._held.items()) if held.position is not None]

    async def lag(self) -> Mapping[Partition, int]:
        self._raise_failures()
        positions = {held.partition: held.position for held in self._held.values() if held.position is not None}
        ends = await self._cluster.ends(self._topic) if positions else {}
        return {partition: ends[partition] - at for partition, at in sorted(positions.items()) if partition in ends}

    async def close(self) -> None:
        self._held.clear()
        self._task.cancel()
        await asyncio.wait([self._task])

    def _raise_failures(self) -> None:
        if self._failed_callback is not None:
            raise self._failed_callback
        if self._task.done():
            self._task.result()
        if self._away is not None:
            raise StreamUnavailable(*self._away.args) from self._away

    # --- reading

    async def _position_new(self) -> None:
        """Ask where to start the partitions that are new."""
        if all(held.position is not None for held in self._held.values()):
            return
        async with self._callback:
            new = {held.partition: held for held in self._held.values() if held.position is None}
            positions = await self._on_assigned(list(new)) if new else {}
            await self._end_waiting_fetch()
            for partition, held in new.items():
                if self._consumer is not None and self._held.get(partition.index) is held:
                    held.position = positions[partition]
                    self._consumer.seek(held.address, held.position)

    async def _fetch(self, max_records: int, wait_s: float) -> list[Slice]:
        """Raises PositionLost, StreamUnavailable."""
        if self._fetching is None:
            held = [held for held in self._held.values() if held.position is not None]
            if self._consumer is None or not held:
                return []
            get = self._consumer.getmany(
                *(one.address for one in held), timeout_ms=int(wait_s * 1000), max_records=max_records
            )
            # A task, because aiokafka waits for a rebalance without regard to the timeout, and so that what was
            # fetched is not lost when whoever reads is cancelled.
            self._fetching = asyncio.create_task(get, name="stream-fetch"), held
        task, held = self._fetching
        changed = asyncio.create_task(self._changed.wait())
        try:
            # A little longer than the fetch itself waits: it ends by itself as a rule.
            await asyncio.wait([task, changed], timeout=wait_s + 0.05, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if not task.done():
            return []
        self._fetching = None
        if task.cancelled():
            return []  # its consumer was replaced meanwhile
        try:
            fetched = task.result()
        except OffsetOutOfRangeError as error:
            await self._raise_position_lost(error.args[0])
            return []
        except NoOffsetForPartitionError:
            return []  # it was assigned a moment ago; its position is being asked for
        except KafkaError as error:
            self._replace.set()
            raise StreamUnavailable(f"reading {self._topic}: {error}") from error
        return self._still_held(fetched, held)

    async def _end_waiting_fetch(self) -> None:
        """Before a seek: a fetch that still waits would return records from after it as if from before.

        One that is done keeps what it has; being cancelled while it waits, it has taken nothing yet.
        """
        if self._fetching is not None and not self._fetching[0].done():
            self._fetching[0].cancel()
            await asyncio.wait([self._fetching[0]])
            self._fetching = None

    def _still_held(self, fetched: Mapping[TopicPartition, list[ConsumerRecord]], held: Sequence[_Held]) -> list[Slice]:
        """What was revoked or sought while it was fetched is dropped."""
        slices: list[Slice] = []
        for one in held:
            got = fetched.get(one.address)
            if got and one.position is not None and self._held.get(one.partition.index) is one:
                position, one.position = one.position, got[-1].offset + 1
                slices.append(Slice(one.partition, position, [_record(record) for record in got], one.position))
        return slices

    async def _raise_position_lost(self, out_of_range: Mapping[TopicPartition, int]) -> None:
        bounds = await self._cluster.bounds(self._topic)
        for address, position in out_of_range.items():
            held = self._held.get(address.partition)
            if held is None or held.position != position:
                continue
            if held.partition not in bounds:
                self._replace.set()  # the topic is another one now
                continue
            raise PositionLost(held.partition, position, *bounds[held.partition])

    # --- belonging to the group

    async def _keep_a_consumer(self) -> None:
        while True:
            try:
                with unavailable_unless(f"joining the group {self._group}"):
                    await self._consume()
            except StreamUnavailable as error:
                self._away = error
                self._changed.set()
            await asyncio.sleep(_BACKOFF_S)

    async def _consume(self) -> None:
        """Be a member until the consumer fails or the topic is another one."""
        self._replace.clear()
        partitions = (await self._cluster.describe([self._topic])).partitions(self._topic)
        if not partitions:
            raise StreamUnavailable(f"the topic {self._topic} does not exist: run `tierwise migrate`")
        self._partitions = {partition.index: partition for partition in partitions}
        consumer = self._consumer = AIOKafkaConsumer(
            **self._access.options(),
            group_id=self._group,
            metadata_max_age_ms=30_000,
            **_GROUP,
            **_FETCH,
            **_POSITIONS,
        )
        try:
            consumer.subscribe([self._topic], listener=self)
            await connected(consumer.start())
            self._away = None
            while not self._replace.is_set() and await self._topic_is_the_same():
                if not _lives(consumer):
                    log.warning("stream_consumer_failed", group=self._group)
                    return
                await happens_within(self._replace, _TOPIC_CHECK_S)
        finally:
            self._consumer = None
            await self._lose_everything()
            await self._stop(consumer)

    async def _topic_is_the_same(self) -> bool:
        try:
            partitions = (await self._cluster.describe([self._topic])).partitions(self._topic)
        except StreamUnavailable:
            return True  # the consumer reconnects by itself
        return partitions == list(self._partitions.values())

    async def _stop(self, consumer: AIOKafkaConsumer) -> None:
        await self._end_waiting_fetch()
        self._fetching = None
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await consumer.stop()
        except (RuntimeError, TimeoutError) as error:  # KafkaError is a RuntimeError
            log.warning("stream_consumer_stopped_badly", group=self._group, reason=repr(error))
            await _cut(consumer)

    async def _lose_everything(self) -> None:
        async with self._callback:
            lost, self._held = self._held, {}
            await self._tell_revoked(lost.values())

    # aiokafka awaits these two in the task that keeps the membership, and swallows what they raise.

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        async with self._callback:
            lost = [self._held.pop(one.partition) for one in revoked if one.partition in self._held]
            await self._tell_revoked(lost)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        for one in assigned:
            if one.partition in self._partitions:
                self._held[one.partition] = _Held(self._partitions[one.partition])
            else:
                self._replace.set()  # partitions were added
        self._changed.set()

    async def _tell_revoked(self, lost: Collection[_Held]) -> None:
        known = [held.partition for held in lost if held.position is not None]
        if not known:
            return
        try:
            await self._on_revoked(known)
        except BaseException as error:
            self._failed_callback = error
            self._changed.set()
            raise


def _lives(consumer: AIOKafkaConsumer) -> bool:
    """Whether the tasks run by which it fetches, stays a member and knows the brokers: aiokafka may not say it when one
    has failed."""
    tasks = (consumer._fetcher.error_future, consumer._coordinator._coordination_task, consumer._client._sync_task)
    return not any(task.done() for task in tasks)


async def _cut(consumer: AIOKafkaConsumer) -> None:
    """End what an interrupted `stop` has left running. The group misses the member in time."""
    ending = [consumer._client.close()]
    if consumer._fetcher is not None and consumer._coordinator is not None:  # it had started
        ending.append(consumer._fetcher.close())
        ending.append(consumer._coordinator._stop_heartbeat_task())
        ending.append(consumer._coordinator._stop_commit_offsets_refresh_task())
    await asyncio.gather(*ending, return_exceptions=True)


def _record(record: ConsumerRecord) -> Record:
    return Record(record.offset, record.key, record.value or b"", record.timestamp, record.headers)
