"""What every stream promises of what is appended and read, on Apache Kafka and on PostgreSQL."""

import asyncio
import os
import time

import pytest
from aiokafka.partitioner import murmur2

from tests.contract.conftest import Log
from tests.support.numbered import append_slowly, numbered, numbers
from tests.support.reading import Reading
from tierwise.stream.port import (
    RECORD_BYTES_MAX,
    Outgoing,
    RecordTooLarge,
    Stream,
)


async def test_what_was_appended_is_read_in_order_for_each_key(stream: Stream, topic: str) -> None:
    for start in range(0, 500, 100):
        await stream.append(topic, numbered(100, start=start))

    reading = await Reading.join(stream, topic)
    records = await reading.until(500, max_records=64)

    assert sorted(numbers(records)) == list(range(500))
    for key in {record.key for record in records}:
        of_key = numbers([record for record in records if record.key == key])
        assert of_key == sorted(of_key)
    await reading.reader.close()


async def test_keys_values_headers_and_time_come_back_as_they_were(stream: Stream, topic: str) -> None:
    sent = [
        Outgoing(b"", b"", partition=1),
        Outgoing(b"\x00\xff" * 8, os.urandom(1_000_000), [("trace", b"\x00\xff"), ("empty", b"")], partition=1),
        Outgoing(b"k", "客户".encode(), [("名", b"v"), ("名", b"w")], partition=1),
    ]
    before_ms = time.time_ns() // 1_000_000 - 1
    await stream.append(topic, sent)
    after_ms = time.time_ns() // 1_000_000 + 1

    reading = await Reading.join(stream, topic)
    records = await reading.until(3)

    assert [(record.key, record.value) for record in records] == [(one.key, one.value) for one in sent]
    assert [[*record.headers] for record in records] == [[*one.headers] for one in sent]
    assert [record.position for record in records] == [0, 1, 2]
    assert all(before_ms <= record.timestamp_ms <= after_ms for record in records)
    await reading.reader.close()


async def test_many_megabytes_in_one_append_are_split_and_arrive(stream: Stream, topic: str) -> None:
    value = b"x" * 300_000
    await stream.append(topic, [Outgoing(b"k", b"%d " % number + value, partition=0) for number in range(12)])

    reading = await Reading.join(stream, topic)
    records = await reading.until(12)

    assert [int(record.value.split(b" ")[0]) for record in records] == list(range(12))
    await reading.reader.close()


async def test_a_record_that_is_too_large_is_refused_with_all_of_its_append(stream: Stream, topic: str) -> None:
    good, bad = Outgoing(b"k", b"1"), Outgoing(b"k", b"x" * RECORD_BYTES_MAX)
    with pytest.raises(RecordTooLarge) as refused:
        await stream.append(topic, [good, bad])
    assert refused.value.index == 1
    assert set((await stream.ends(topic)).values()) == {0}


async def test_nothing_is_appended_of_nothing(stream: Stream, topic: str) -> None:
    await stream.append(topic, [])
    assert set((await stream.ends(topic)).values()) == {0}


async def test_a_key_goes_to_the_partition_that_other_clients_would_choose(stream: Stream, topic: str) -> None:
    keys = [b"%016d" % number for number in range(50)] + [b"short", b"a key of some other length"]
    await stream.append(topic, [Outgoing(key, b"") for key in keys])

    reading = await Reading.join(stream, topic)
    await reading.until(len(keys))

    found = {record.key: index for index, records in reading.records.items() for record in records}
    assert found == {key: (murmur2(key) & 0x7FFFFFFF) % 4 for key in keys}
    await reading.reader.close()


async def test_a_position_is_that_of_the_next_record(stream: Stream, topic: str) -> None:
    await stream.append(topic, numbered(10, partition=2))
    partition = (await stream.partitions(topic))[2]
    assert (await stream.ends(topic))[partition] == 10

    reading = await Reading.join(stream, topic, positions={partition: 4})
    records = await reading.until(3, max_records=3)
    assert numbers(records) == [4, 5, 6]
    assert [record.position for record in records] == [4, 5, 6]
    assert reading.positions[partition] == 7

    await reading.reader.seek(partition, 2)
    reading.records.clear()
    assert numbers(await reading.until(8)) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert reading.positions[partition] == 10
    await reading.reader.close()


async def test_lag_is_what_is_left_to_read(stream: Stream, topic: str) -> None:
    await stream.append(topic, numbered(10, partition=0) + numbered(5, partition=3))
    reading = await Reading.join(stream, topic)
    await reading.until(15)
    assert {one.index: lag for one, lag in (await reading.reader.lag()).items()} == {0: 0, 1: 0, 2: 0, 3: 0}

    await reading.reader.seek((await stream.partitions(topic))[0], 3)
    assert {one.index: lag for one, lag in (await reading.reader.lag()).items()} == {0: 7, 1: 0, 2: 0, 3: 0}
    await reading.reader.close()


async def test_a_read_ends_after_its_time_with_nothing(stream: Stream, topic: str) -> None:
    reading = await Reading.join(stream, topic)
    await reading.until_assigned(4)
    started = time.monotonic()
    assert list(await reading.reader.read(max_records=10, max_wait_ms=300)) == []
    assert 0.2 < time.monotonic() - started < 1.5
    await reading.reader.close()


async def test_a_waiting_reader_gets_an_append_at_once(log: Log, stream: Stream, topic: str) -> None:
    reading = await Reading.join(await log.open(), topic)
    await reading.until_assigned(4)
    delays_s: list[float] = []
    for number in range(5):
        waiting = asyncio.create_task(reading.reader.read(max_records=10, max_wait_ms=5_000))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await stream.append(topic, numbered(1, start=number))
        reading.keep(await waiting)
        delays_s.append(time.monotonic() - started)
    assert len(await reading.until(5)) == 5
    assert min(delays_s) < 0.1
    await reading.reader.close()


async def test_reading_that_is_cancelled_loses_nothing(stream: Stream, topic: str) -> None:
    reading = await Reading.join(stream, topic)
    await reading.until_assigned(4)
    appending = asyncio.create_task(append_slowly(stream, topic, 200))
    while sum(map(len, reading.records.values())) < 200:
        try:
            async with asyncio.timeout(0.004):
                reading.keep(await reading.reader.read(max_records=3, max_wait_ms=1_000))
        except TimeoutError:
            continue
    await appending
    found = [number for records in reading.records.values() for number in numbers(records)]
    assert sorted(found) == list(range(200))
    await reading.reader.close()


async def test_appends_at_the_same_time_are_all_there_once(log: Log, stream: Stream, topic: str) -> None:
    other = await log.open()
    await asyncio.gather(
        *(one.append(topic, numbered(20, start=start)) for start in range(0, 2_000, 40)
          for one, start in ((stream, start), (other, start + 20)))
    )  # fmt: skip
    reading = await Reading.join(stream, topic)
    assert sorted(numbers(await reading.until(2_000))) == list(range(2_000))
    for records in reading.records.values():
        assert [record.position for record in records] == list(range(len(records)))
    await reading.reader.close()


async def test_one_who_stops_waiting_for_an_append_does_not_disturb_others(stream: Stream, topic: str) -> None:
    appends = [asyncio.create_task(stream.append(topic, numbered(10, start=start))) for start in range(0, 500, 10)]
    await asyncio.sleep(0)
    for task in appends[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [outcome for outcome in outcomes[1::2] if outcome is not None] == []

    reading = await Reading.join(stream, topic)
    kept = {number for start in range(10, 500, 20) for number in range(start, start + 10)}
    assert kept <= set(numbers(await reading.until(250)))
    await reading.reader.close()
