"""What every stream promises, on Apache Kafka and on PostgreSQL."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2
from pydantic import SecretStr

from tests.contract.conftest import Log
from tests.support.reading import PATIENCE_S, Reading
from tierwise.stream.port import (
    RECORD_BYTES_MAX,
    Outgoing,
    Partition,
    PositionLost,
    RecordTooLarge,
    Slice,
    Stream,
    StreamUnavailable,
)

ROOT = Path(__file__).parents[2]


def numbered(count: int, *, start: int = 0, partition: int | None = None) -> list[Outgoing]:
    """Records of seven customers; each value is its number."""
    return [
        Outgoing(b"customer-%08d" % (number % 7), b"%d" % number, partition=partition)
        for number in range(start, start + count)
    ]


def numbers(records: Sequence[object]) -> list[int]:
    return [int(record.value) for record in records]  # type: ignore[attr-defined]


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
    appending = asyncio.create_task(_append_slowly(stream, topic, 200))
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


async def _append_slowly(stream: Stream, topic: str, count: int) -> None:
    for number in range(0, count, 10):
        await stream.append(topic, numbered(10, start=number))
        await asyncio.sleep(0.003)


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


async def test_two_readers_share_the_partitions_and_one_takes_over_when_the_other_leaves(
    log: Log, stream: Stream, topic: str
) -> None:
    positions: dict[Partition, int] = {}
    first = await Reading.join(stream, topic, positions=positions)
    await first.until_assigned(4)
    second = await Reading.join(await log.open(), topic, positions=positions)
    halves = await asyncio.gather(first.until_assigned(2), second.until_assigned(2))
    assert sorted(halves[0] + halves[1]) == [0, 1, 2, 3]
    assert {index for what, index in first.events if what == "revoked"} >= set(halves[1])

    await stream.append(topic, [record for index in range(4) for record in numbered(3, partition=index)])
    await asyncio.gather(first.until(6), second.until(6))
    assert sorted(first.records) == sorted(halves[0])
    assert sorted(second.records) == sorted(halves[1])

    await second.reader.close()
    assert await first.until_assigned(4) == [0, 1, 2, 3]
    await stream.append(topic, [record for index in range(4) for record in numbered(3, partition=index)])
    await first.until(6 + 12)  # goes on at the positions where the other stood
    await first.reader.close()


async def test_a_partition_is_revoked_before_another_reader_gets_it_and_never_read_after(
    log: Log, stream: Stream, topic: str
) -> None:
    happened: list[tuple[str, str, int]] = []

    async def join(name: str, other: Stream) -> Reading:
        reading = Reading(positions)

        async def assigned(partitions: Sequence[Partition]) -> dict[Partition, int]:
            happened.extend((name, "assigned", one.index) for one in partitions)
            return {one: positions.get(one, 0) for one in partitions}

        async def revoked(partitions: Sequence[Partition]) -> None:
            await asyncio.sleep(0.2)  # a batch that is still being worked on
            happened.extend((name, "revoked", one.index) for one in partitions)

        reading.reader = await other.reader(topic, group=topic, assigned=assigned, revoked=revoked)
        return reading

    async def read(name: str, reading: Reading) -> None:
        while True:
            slices: Sequence[Slice] = await reading.reader.read(max_records=5, max_wait_ms=50)
            happened.extend((name, "read", one.partition.index) for one in slices)
            reading.keep(slices)

    positions: dict[Partition, int] = {}
    one, two = await join("one", stream), Reading()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        reading_one = tasks.create_task(read("one", one))
        await _until(lambda: len(one.reader.assigned()) == 4)
        appending = tasks.create_task(_append_slowly(stream, topic, 600))
        two = await join("two", await log.open())
        reading_two = tasks.create_task(read("two", two))
        await _until(lambda: len(two.reader.assigned()) == 2)
        await appending
        await stream.append(topic, numbered(400, start=600))
        await _until(lambda: sum(len(found) for each in (one, two) for found in each.records.values()) == 1_000)
        reading_one.cancel()
        reading_two.cancel()

    for index in range(4):
        owner = None
        for name, what, partition in happened:
            if partition != index:
                continue
            if what == "assigned":
                assert owner is None
                owner = name
            else:
                assert owner == name, (what, happened)
                owner = None if what == "revoked" else owner
    assert ("two", "assigned") in {(name, what) for name, what, _ in happened}
    await asyncio.gather(one.reader.close(), two.reader.close())


async def test_members_that_come_and_go_during_a_long_read_cost_no_record(log: Log, stream: Stream, topic: str) -> None:
    positions: dict[Partition, int] = {}
    first = await Reading.join(stream, topic, positions=positions)

    async def read() -> None:
        while True:
            first.keep(await first.reader.read(max_records=100, max_wait_ms=60_000))

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await _until(lambda: len(first.reader.assigned()) == 4)
        for start in range(0, 90, 30):
            other = await Reading.join(await log.open(), topic, positions=positions)
            await other.until_assigned(2)
            await _until(lambda: len(first.reader.assigned()) == 2)
            await other.reader.close()
            await _until(lambda: len(first.reader.assigned()) == 4)
            await stream.append(topic, numbered(30, start=start))
            await _until(lambda: sum(map(len, first.records.values())) == start + 30)  # noqa: B023
        reading.cancel()
    assert sorted(number for found in first.records.values() for number in numbers(found)) == list(range(90))
    await first.reader.close()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what changes it is the code under test)
        await asyncio.sleep(0.02)


async def test_a_reader_takes_over_from_one_that_was_killed(log: Log, stream: Stream, topic: str) -> None:
    url, kafka = log.settings.database_url, log.settings.kafka_bootstrap_servers
    given = {
        "database_url": url.get_secret_value() if isinstance(url, SecretStr) else None,
        "kafka_bootstrap_servers": kafka,
        "data_dir": str(log.settings.data_dir),
    }
    await stream.append(topic, numbered(20))
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.reader_process", json.dumps(given), topic, topic,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert victim.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            await victim.stdout.readline()
    reading = await Reading.join(stream, topic)
    await reading.until_assigned(2)
    victim.kill()
    await victim.wait()
    await reading.until_assigned(4)
    assert sorted(numbers(await reading.until(20))) == list(range(20))
    await reading.reader.close()


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
