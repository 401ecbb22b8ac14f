"""Ingest into Apache Kafka over HTTP: one service process, against a bare producer of the same bytes."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
from aiokafka import AIOKafkaProducer

from tests.load.bench import Result, benchmark
from tests.load.running import cpu_seconds, own_broker, own_directory, own_process
from tests.load.sender import Order, Sent, ordered, request
from tests.support.database import test_server, test_settings
from tests.support.ingest import write_key
from tests.support.services import free_port
from tierwise.db.engine import open_engine
from tierwise.db.migrate import migrate
from tierwise.domain.claim import Terms, read_claim
from tierwise.domain.source import BACKEND, Source
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.partitioner import partitions_of
from tierwise.stream.topics import INTERACTIONS

BATCH = 500
INTERACTIONS_IN_ALL = 300_000
CONNECTIONS = 16
PARTITIONS = 8


@dataclass(frozen=True)
class Service:
    settings: Settings
    key: str
    process: psutil.Process


@benchmark("ingest-batch")
async def ingest_batch() -> AsyncIterator[Result]:
    """Batches of 500 native interactions of about 450 bytes."""
    bodies = [
        msgspec.json.encode([interaction(random.Random(number)) for number in range(start, start + BATCH)])
        for start in range(0, 40 * BATCH, BATCH)
    ]
    async with ingest_on_kafka() as service:
        await measured(service, bodies, requests=100)  # caches, connections, the broker's own warming up
        bare = await bare_send_batch(service.settings, bodies)
        sent, cpu_s = await measured(service, bodies, requests=INTERACTIONS_IN_ALL // BATCH)
    yield Result(
        name="ingest-batch",
        value=INTERACTIONS_IN_ALL / sent.seconds,
        unit="interactions/s",
        goal=60_000,
        baseline="bare aiokafka send_batch",
        baseline_value=bare,
        ratio_goal=0.35,
    )
    yield Result(
        name="ingest-batch-cpu",
        value=cpu_s / INTERACTIONS_IN_ALL * 100_000,
        unit="CPU s of the service / 100,000",
        goal=2.0,
        lower_is_better=True,
    )


def interaction(draw: random.Random) -> dict[str, object]:
    """One as a shop's site sends it, about 450 bytes of JSON."""
    customer = draw.randrange(1_000_000)
    return {
        "id": f"0190f5c2-7c1e-7aaa-{draw.randrange(65536):04x}-{draw.randrange(1 << 48):012x}",
        "time": f"2026-11-20T{draw.randrange(24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}+08:00",
        "channel": draw.choice(("web", "email", "call", "order")),
        "type": draw.choice(("page_view", "click", "completed", "purchase")),
        "identifiers": {
            "user_id": f"u{customer}",
            "anonymous_id": f"5f0c3a1e-2b7d-4c55-9b1e-{customer:012x}",
            "email": f"Customer.{customer}@Example.com",
        },
        "attributes": {"region": f"CN-{draw.randrange(11, 66)}", "industry": "education"},
        "properties": {
            "path": f"/pricing/{draw.choice(('enterprise', 'team', 'free'))}",
            "title": "Pricing - Example",
            "referrer": "https://www.example.com/search",
            "utm_source": "search",
            "category": "courses",
            "duration_s": draw.randrange(600),
        },
    }


async def measured(
    service: Service,
    bodies: list[bytes],
    *,
    requests: int,
    connections: int = CONNECTIONS,
    path: str = "/v1/interactions",
    per_second: float | None = None,
) -> tuple[Sent, float]:
    """What the load generator saw, and the CPU seconds that the service took meanwhile, in all its processes."""
    with tempfile.TemporaryDirectory() as directory:
        for number, body in enumerate(bodies):
            (Path(directory) / f"{number:06}").write_bytes(request(path, service.key, body))
        before_s = cpu_seconds(service.process)
        sent = await ordered(
            Order(
                port=service.settings.ingest_port,
                directory=directory,
                requests=requests,
                connections=connections,
                per_second=per_second,
            )
        )
    return sent, cpu_seconds(service.process) - before_s


async def bare_send_batch(settings: Settings, bodies: list[bytes]) -> float:
    """Interactions a second that a producer of the service's own settings appends from ready bytes: the same values as
    the service's, over as many partitions, as many of them under way at once, half of these sent while the other half
    is built."""
    values = _encoded(bodies)
    keys = [msgspec.json.encode(number)[:16].rjust(16) for number in range(len(values))]
    records = list(zip(keys, values, partitions_of(keys, PARTITIONS), strict=True))
    half = CONNECTIONS * BATCH // 2
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        compression_type="snappy",
        max_batch_size=900_000,
    )
    await producer.start()
    starts = iter(range(0, INTERACTIONS_IN_ALL, half))

    async def caller() -> None:
        for start in starts:
            at = start % len(records)
            await _sent(producer, [*records[at : at + half], *records[: max(0, at + half - len(records))]])

    started = time.perf_counter()
    await asyncio.gather(caller(), caller())
    seconds = time.perf_counter() - started
    await producer.stop()
    return -(-INTERACTIONS_IN_ALL // half) * half / seconds


def _encoded(bodies: list[bytes]) -> list[bytes]:
    """The interactions as the service puts them on the stream."""
    source = Source(id=1, name="load", trust=BACKEND)
    terms = Terms(source=source, received=datetime.now(UTC), new_id=lambda: "")
    items = [raw for body in bodies for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    return [read_claim(bytes(raw), terms).encoded for raw in items]


async def _sent(producer: AIOKafkaProducer, records: list[tuple[bytes, bytes, int]]) -> None:
    """Return when all are acknowledged."""
    batches = [producer.create_batch() for _ in range(PARTITIONS)]
    now_ms = time.time_ns() // 1_000_000
    sending = []
    for key, value, index in records:
        if batches[index].append(key=key, value=value, timestamp=now_ms) is None:
            sending.append(await producer.send_batch(batches[index], INTERACTIONS, partition=index))
            batches[index] = producer.create_batch()
            batches[index].append(key=key, value=value, timestamp=now_ms)
    sending += [await producer.send_batch(batch, INTERACTIONS, partition=i) for i, batch in enumerate(batches)]
    await asyncio.gather(*sending)


@asynccontextmanager
async def ingest_on_kafka(*arguments: str) -> AsyncIterator[Service]:
    """The command `tierwise ingest` on a broker and a database of their own. Raises Unmeasurable."""
    with own_directory() as path, own_broker(path / "kafka") as broker:
        async with test_server(path / "database") as server, server.database() as dsn:
            settings = test_settings(database_url=dsn, data_dir=path).model_copy(
                update={
                    "kafka_bootstrap_servers": broker.bootstrap_servers,
                    "stream_partitions": PARTITIONS,
                    "ingest_port": free_port(),
                }
            )
            async with open_engine(settings) as engine:
                await migrate(settings, engine)
                key = await write_key(engine, await open_vault(engine, settings))
            with own_process("ingest", settings, *arguments) as process:
                yield Service(settings, key.secret, process)
