"""What the embedded stream promises beside the port: order of commits, sealing, trimming, hung members."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.contract.conftest import PostgresLog
from tests.support.reading import PATIENCE_S, Reading
from tierwise.db.engine import engine_of
from tierwise.security.personal import NotSealedHere
from tierwise.stream.payload import seal
from tierwise.stream.port import Outgoing, PositionLost
from tierwise.stream.postgres import PostgresStream
from tierwise.stream.postgres_append import APPEND
from tierwise.stream.postgres_session import open_connection

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stream(postgres_log: PostgresLog) -> PostgresStream:
    opened = await postgres_log.open()
    assert isinstance(opened, PostgresStream)
    return opened


@pytest.fixture
def log(postgres_log: PostgresLog) -> PostgresLog:
    return postgres_log


def engine_to(log: PostgresLog):  # type: ignore[no-untyped-def]
    assert isinstance(log.settings.database_url, SecretStr)
    return engine_of(log.settings.database_url.get_secret_value())


async def test_a_reader_never_skips_an_append_that_commits_late(
    log: PostgresLog, stream: PostgresStream, topic: str
) -> None:
    """Positions are taken before the commit; the second appender of a partition gets none until the first ends."""
    engine = engine_to(log)
    number = (await stream._load_topic(topic)).number  # type: ignore[union-attr]
    topic_id = (await stream.partitions(topic))[0].topic_id

    def arguments(partition: int, value: bytes) -> list[list[object]]:
        sealed = seal([Outgoing(b"k", value)], stream._vault, topic_id=topic_id, partition=partition)
        return [[number], [partition], [1], [number], [partition], [0], [1], [sealed]]

    late, other, third = [await open_connection(engine) for _ in range(3)]
    reading = await Reading.join(stream, topic)
    await reading.until_assigned(4)
    transaction = late.transaction()
    await transaction.start()
    await late.fetch(APPEND, *arguments(0, b"late"))
    second = asyncio.create_task(other.fetch(APPEND, *arguments(0, b"second")))
    await third.fetch(APPEND, *arguments(1, b"elsewhere"))

    assert [record.value for record in await reading.until(1)] == [b"elsewhere"]
    assert list(await reading.reader.read(max_records=10, max_wait_ms=700)) == []
    assert not second.done()

    await transaction.commit()
    await second
    await reading.until(3)
    assert [(record.position, record.value) for record in reading.records[0]] == [(0, b"late"), (1, b"second")]
    await reading.reader.close()
    for connection in (late, other, third):
        await connection.close()
    await engine.dispose()


async def test_an_append_that_was_rolled_back_leaves_no_gap(
    log: PostgresLog, stream: PostgresStream, topic: str
) -> None:
    engine = engine_to(log)
    connection = await open_connection(engine)
    number = (await stream._load_topic(topic)).number  # type: ignore[union-attr]
    transaction = connection.transaction()
    await transaction.start()
    await connection.fetch(APPEND, [number], [0], [1], [number], [0], [0], [1], [b"nonsense"])
    await transaction.rollback()
    await stream.append(topic, [Outgoing(b"k", b"1", partition=0)])
    assert (await stream.ends(topic))[(await stream.partitions(topic))[0]] == 1
    await connection.close()
    await engine.dispose()


async def test_appends_at_the_same_time_share_a_transaction(
    log: PostgresLog, stream: PostgresStream, topic: str
) -> None:
    await asyncio.gather(*(stream.append(topic, [Outgoing(b"k", b"%d" % n)]) for n in range(200)))
    assert len(await _payloads(log, topic)) <= 4


async def test_records_are_sealed_and_bound_to_their_partition(
    log: PostgresLog, stream: PostgresStream, topic: str
) -> None:
    await stream.append(topic, [Outgoing(b"key-of-li", b"li@example.com", partition=0)])
    (payload,) = await _payloads(log, topic)
    assert b"example.com" not in payload
    assert b"key-of-li" not in payload

    engine = engine_to(log)
    async with engine.begin() as connection:
        moved = "UPDATE stream_batches SET partition = 1 WHERE payload = :payload"
        await connection.execute(text(moved), {"payload": payload})
        await connection.execute(text("UPDATE stream_heads SET next = 1 WHERE partition = 1"))
    await engine.dispose()
    reading = await Reading.join(stream, topic)
    with pytest.raises(NotSealedHere):
        await reading.until(1)
    await reading.reader.close()


async def test_trimming_deletes_only_what_lies_wholly_before(
    log: PostgresLog, stream: PostgresStream, topic: str
) -> None:
    for number in range(0, 2_000, 5):
        await stream.append(topic, [Outgoing(b"k", b"%d" % n, partition=0) for n in range(number, number + 5)])
    assert len(await _payloads(log, topic)) == 400
    partition = (await stream.partitions(topic))[0]

    await stream.trim(topic, {0: 1_998, 3: 100})
    assert len(await _payloads(log, topic)) == 1
    assert (await stream.ends(topic))[partition] == 2_000
    reading = await Reading.join(stream, topic, positions={partition: 1_998})
    assert [record.value for record in await reading.until(2)] == [b"1998", b"1999"]
    await reading.reader.seek(partition, 1_994)
    with pytest.raises(PositionLost) as lost:
        await reading.until(3)
    assert (lost.value.earliest, lost.value.end) == (1_995, 2_000)
    await reading.reader.close()


async def test_records_older_than_the_retention_expire(log: PostgresLog, stream: PostgresStream, topic: str) -> None:
    await stream.append(topic, [Outgoing(b"k", b"old", partition=0)])
    engine = engine_to(log)
    async with engine.begin() as connection:
        aged = "UPDATE stream_batches SET appended_at = appended_at - interval '200 hours'"
        await connection.execute(text(aged))
    await engine.dispose()
    await stream.append(topic, [Outgoing(b"k", b"new", partition=0)])
    await stream.expire([topic])
    assert len(await _payloads(log, topic)) == 1


async def test_a_member_that_hangs_loses_its_partitions_and_comes_back_as_another(
    log: PostgresLog, stream: PostgresStream, topic: str
) -> None:
    assert isinstance(log.settings.database_url, SecretStr)
    given = {
        "database_url": log.settings.database_url.get_secret_value(),
        "kafka_bootstrap_servers": None,
        "data_dir": str(log.settings.data_dir),
    }
    await stream.append(topic, [Outgoing(b"k", b"1", partition=0)])
    hanging = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.reader_process", json.dumps(given), topic, topic,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert hanging.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        await hanging.stdout.readline()
    hanging.send_signal(signal.SIGSTOP)
    engine = engine_to(log)
    async with engine.begin() as connection:  # as if its last beat were long ago
        await connection.execute(text("UPDATE stream_members SET seen_at = now() - interval '1 minute'"))
    reading = await Reading.join(stream, topic)
    await reading.until_assigned(4)

    hanging.send_signal(signal.SIGCONT)
    await reading.until_assigned(2)
    hanging.kill()
    await hanging.wait()
    await reading.until_assigned(4)
    await reading.reader.close()
    await engine.dispose()


async def _payloads(log: PostgresLog, topic: str) -> list[bytes]:
    query = "SELECT payload FROM stream_batches b JOIN stream_topics t ON t.number = b.topic WHERE name = :name"
    engine = engine_to(log)
    async with engine.begin() as connection:
        payloads = [row.payload for row in await connection.execute(text(query), {"name": topic})]
    await engine.dispose()
    return payloads
