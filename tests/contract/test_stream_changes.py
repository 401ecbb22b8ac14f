"""What every stream promises when the log is another one than before, or away, on Apache Kafka and on PostgreSQL."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.contract.conftest import Log
from tests.support.numbered import numbered, numbers
from tests.support.reading import PATIENCE_S, Reading
from tierwise.stream.port import (
    Outgoing,
    Partition,
    PositionLost,
    Stream,
    StreamUnavailable,
)


async def test_a_position_before_the_first_record_kept_is_lost(log: Log, stream: Stream, topic: str) -> None:
    for start in range(0, 30, 10):
        await stream.append(topic, numbered(10, start=start, partition=1))
    await log.trim(topic, 1, 20)
    partition = (await stream.partitions(topic))[1]

    reading = await Reading.join(stream, topic, positions={partition: 5})
    with pytest.raises(PositionLost) as lost:
        await reading.until(1)
    assert (lost.value.partition, lost.value.position) == (partition, 5)
    assert (lost.value.earliest, lost.value.end) == (20, 30)
    with pytest.raises(PositionLost):
        await reading.until(1)

    await reading.reader.seek(partition, lost.value.earliest)
    assert numbers(await reading.until(10)) == list(range(20, 30))
    await reading.reader.close()


async def test_a_position_past_the_end_is_lost(stream: Stream, topic: str) -> None:
    await stream.append(topic, numbered(3, partition=1))
    partition = (await stream.partitions(topic))[1]
    reading = await Reading.join(stream, topic, positions={partition: 4})
    with pytest.raises(PositionLost) as lost:
        await reading.until(1)
    assert (lost.value.earliest, lost.value.end) == (0, 3)
    await reading.reader.close()


async def test_a_topic_made_anew_is_another_log(log: Log, stream: Stream, topic: str) -> None:
    before = await stream.partitions(topic)
    await stream.append(topic, numbered(10))
    await log.delete_topic(topic)
    async with asyncio.timeout(PATIENCE_S):
        while await stream.partitions(topic):  # noqa: ASYNC110  (it is the cluster that we wait for)
            await asyncio.sleep(0.05)
    await stream.create_topics({topic: 4})

    after = await stream.partitions(topic)
    assert [one.index for one in after] == [one.index for one in before]
    assert {one.cluster for one in after} == {one.cluster for one in before}
    assert {one.topic_id for one in after}.isdisjoint({one.topic_id for one in before})
    await _append_until_it_works(stream, topic, numbered(1))
    assert sum((await stream.ends(topic)).values()) >= 1


async def test_creating_topics_again_changes_nothing(stream: Stream, topic: str) -> None:
    before = await stream.partitions(topic)
    await stream.create_topics({topic: 9, f"{topic}-other": 2})
    assert await stream.partitions(topic) == before
    assert len(await stream.partitions(f"{topic}-other")) == 2


async def test_a_topic_that_does_not_exist_has_no_partitions_and_takes_no_records(stream: Stream) -> None:
    assert list(await stream.partitions("nobody-made-this")) == []
    with pytest.raises(StreamUnavailable, match="does not exist"):
        await stream.append("nobody-made-this", numbered(1))
    assert list(await stream.partitions("nobody-made-this")) == []


async def test_an_outage_is_told_and_everything_goes_on_afterwards(log: Log, stream: Stream, topic: str) -> None:
    await stream.append(topic, numbered(10))
    reading = await Reading.join(stream, topic)
    await reading.until(10)

    await log.go_away()
    for unavailable in (stream, late := await log.open()):
        with pytest.raises(StreamUnavailable):
            await unavailable.check()
        started = time.monotonic()
        with pytest.raises(StreamUnavailable):
            await unavailable.append(topic, numbered(10, start=90))
        assert time.monotonic() - started < 20
    late_reading = await Reading.join(late, topic, group=f"{topic}-late")
    with pytest.raises(StreamUnavailable):
        await late_reading.until(1)

    await log.come_back()
    for start, again in ((10, stream), (20, late)):
        await _append_until_it_works(again, topic, numbered(10, start=start))
        await again.check()
    for each in (reading, late_reading):
        while not set(range(30)) <= {number for some in each.records.values() for number in numbers(some)}:
            try:
                each.keep(await each.reader.read(max_records=100, max_wait_ms=500))
            except StreamUnavailable:
                await asyncio.sleep(0.1)
        await each.reader.close()


async def _append_until_it_works(stream: Stream, topic: str, records: Sequence[Outgoing]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await stream.append(topic, records)
            except StreamUnavailable:
                await asyncio.sleep(0.2)


async def test_what_a_callback_raises_comes_out_of_read(stream: Stream, topic: str) -> None:
    failures = 1

    async def assigned(partitions: Sequence[Partition]) -> dict[Partition, int]:
        nonlocal failures
        if failures:
            failures -= 1
            raise LookupError("the database is away")
        return dict.fromkeys(partitions, 0)

    async def revoked(partitions: Sequence[Partition]) -> None:
        raise AssertionError(partitions)

    await stream.append(topic, numbered(1))
    reader = await stream.reader(topic, group=topic, assigned=assigned, revoked=revoked)
    with pytest.raises(LookupError):
        await reader.read(max_records=1, max_wait_ms=10_000)
    assert len(await reader.read(max_records=1, max_wait_ms=10_000)) == 1
    await reader.close()
