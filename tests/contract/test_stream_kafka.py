"""What the stream on Apache Kafka promises beside the port."""

import asyncio
import os
from collections.abc import Sequence
from operator import attrgetter

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.contract.conftest import KafkaLog
from tests.support.reading import PATIENCE_S, Reading
from tierwise.stream import kafka_reader
from tierwise.stream.port import Outgoing, Partition, Stream, StreamUnavailable

_KILLED_AFTER_S = 8.0
"""By whoever tells a service to stop."""


@pytest.fixture
async def stream(kafka_log: KafkaLog) -> Stream:
    return await kafka_log.open()


@pytest.fixture
def log(kafka_log: KafkaLog) -> KafkaLog:
    return kafka_log


async def test_after_a_batch_that_the_broker_refuses_the_next_ones_are_taken(
    log: KafkaLog, stream: Stream, topic: str
) -> None:
    """The sequence numbers of a refused batch are used up: the same producer would be refused for ever."""
    await stream.append(topic, [Outgoing(b"k", b"before", partition=0)])
    await _configure(log, topic, {"max.message.bytes": "1000"})
    with pytest.raises(StreamUnavailable, match="appending to"):
        await stream.append(topic, [Outgoing(b"k", os.urandom(5_000), partition=0)])
    for partition in (0, 1):
        await stream.append(topic, [Outgoing(b"k", b"after", partition=partition)])
    assert {one.index: end for one, end in (await stream.ends(topic)).items()} == {0: 2, 1: 1, 2: 0, 3: 0}


async def test_what_comes_while_a_batch_leaves_is_there_once_and_in_order(stream: Stream, topic: str) -> None:
    """A record that joined a batch after that had its numbers would be lost, or the next batch refused."""
    await stream.append(topic, [Outgoing(b"k", b"0", partition=0)])  # connects
    appends = []
    for number in range(1, 2_000):
        record = Outgoing(b"k", b"%d" % number, partition=0)
        appends.append(asyncio.create_task(stream.append(topic, [record])))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*appends)

    reading = await Reading.join(stream, topic)
    assert [int(record.value) for record in await reading.until(2_000)] == list(range(2_000))
    await reading.reader.close()


async def test_topics_keep_records_for_the_retention_of_the_settings(log: KafkaLog, stream: Stream, topic: str) -> None:
    async with log._administration() as admin:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    entries = {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}
    assert entries["retention.ms"] == str(log.settings.stream_retention_hours * 3_600_000)
    assert entries["cleanup.policy"] == "delete"
    assert entries["message.timestamp.type"] == "LogAppendTime"
    assert entries["min.insync.replicas"] == "1"


async def test_partitions_that_are_added_are_shared_too_and_no_read_ends_for_it(
    log: KafkaLog, stream: Stream, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "_TOPIC_CHECK_S", 0.5)
    readings = [await Reading.join(stream, topic), await Reading.join(await log.open(), topic)]
    await asyncio.gather(*(reading.until_assigned(2) for reading in readings))
    async with log._administration() as admin:
        await admin.create_partitions({topic: NewPartitions(7)})

    async def read(reading: Reading) -> None:
        while True:
            reading.keep(await reading.reader.read(max_records=10, max_wait_ms=1_000))

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        reads = [tasks.create_task(read(reading)) for reading in readings]
        while sorted(one.index for reading in readings for one in reading.reader.assigned()) != list(range(7)):
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in reads)
        for task in reads:
            task.cancel()
    for reading in readings:
        await reading.reader.close()


class _Busy(Reading):
    """Does not give up what it holds until it is released."""

    def __init__(self, positions: dict[Partition, int] | None = None) -> None:
        super().__init__(positions)
        self.asked, self.released = asyncio.Event(), asyncio.Event()

    async def _revoked(self, partitions: Sequence[Partition]) -> None:
        self.asked.set()
        await self.released.wait()


async def test_who_closes_does_not_wait_for_a_group_that_waits_for_another_member(
    log: KafkaLog, stream: Stream, topic: str
) -> None:
    busy = await _Busy.join(stream, topic)
    await busy.until_assigned(4)
    late = await Reading.join(await log.open(), topic)
    async with asyncio.timeout(PATIENCE_S):
        await busy.asked.wait()
    async with asyncio.timeout(_KILLED_AFTER_S):
        await late.reader.close()
    busy.released.set()
    await busy.reader.close()


@pytest.mark.parametrize("of", ["_fetcher._fetch_task", "_coordinator._coordination_task", "_client._sync_task"])
async def test_a_consumer_one_of_whose_tasks_has_ended_is_replaced(
    stream: Stream, topic: str, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """It would fetch nothing more, or be no member any more, without a word."""
    monkeypatch.setattr(kafka_reader, "_TOPIC_CHECK_S", 0.2)
    reading = await Reading.join(stream, topic)
    await reading.until_assigned(4)
    assert isinstance(reading.reader, kafka_reader.KafkaReader)
    before = reading.reader._consumer
    attrgetter(of)(before).cancel()
    async with asyncio.timeout(PATIENCE_S):
        while reading.reader._consumer in (before, None):
            reading.keep(await reading.reader.read(max_records=1_000, max_wait_ms=50))
    await reading.until_assigned(4)
    await stream.append(topic, [Outgoing(b"k", b"after", partition=0)])
    assert [record.value for record in await reading.until(1)] == [b"after"]
    await reading.reader.close()


async def _configure(log: KafkaLog, topic: str, configs: dict[str, str]) -> None:
    admin: AIOKafkaAdminClient
    async with log._administration() as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
