"""What every stream promises to readers that share a topic, on Apache Kafka and on PostgreSQL."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import SecretStr

from tests.contract.conftest import Log
from tests.support.numbered import append_slowly, numbered, numbers
from tests.support.reading import PATIENCE_S, Reading
from tierwise.stream.port import (
    Partition,
    Slice,
    Stream,
)

ROOT = Path(__file__).parents[2]


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
        appending = tasks.create_task(append_slowly(stream, topic, 600))
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
