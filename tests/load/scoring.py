"""Scoring: from the stream to the committed classification, one worker process and two, against a bare
de-duplicating INSERT.

TIERWISE_BENCH_CUSTOMERS: how many customers there are beforehand (100,000). They are copies of a simulated
population that the worker has scored itself; what is measured touches 0.46 of them for each interaction of a batch.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.load.bench import Result, benchmark
from tests.load.running import own_broker, own_directory, own_process
from tests.support.database import test_settings
from tests.support.services import free_port
from tierwise.db import tables
from tierwise.db.embedded import EmbeddedPostgres
from tierwise.db.engine import driver_connection, engine_of
from tierwise.db.migrate import migrate
from tierwise.domain.claim import Terms, read_claim
from tierwise.domain.interaction import Interaction, encode, key_of, strongest
from tierwise.domain.source import BACKEND, Source
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing, Stream
from tierwise.stream.topics import INTERACTIONS
from tierwise_embedded.simulate.arrange import until
from tierwise_embedded.simulate.traffic import simulate

CUSTOMERS = int(os.environ.get("TIERWISE_BENCH_CUSTOMERS", "100000"))
MEASURED = 150_000
WARMING = 20_000
TEMPLATES = 1_000
BATCH = 5_000
CUSTOMERS_PER_INTERACTION = 0.46
PARTITIONS = 8
APPEND = 500
APPENDERS = 8
_KINDS = ("user_id", "anonymous_id", "email")
_COPIED = (("customers", "id"), ("customer_facets", "customer_id"), ("reviews", "customer_id"))


@dataclass(frozen=True)
class Ground:
    """A populated deployment without services. `postmaster`: of its own PostgreSQL, which flushes to disk."""

    settings: Settings
    engine: AsyncEngine
    vault: Vault
    stream: Stream
    postmaster: psutil.Process


@dataclass(frozen=True)
class Spent:
    """Interactions scored, seconds it took, and the CPU seconds of the workers, of the server's processes that
    answer connections, and of its other ones."""

    interactions: int
    seconds: float
    workers_s: float
    backends_s: float
    others_s: float


@benchmark("scoring-kafka")
async def scoring_kafka() -> AsyncIterator[Result]:
    """Everything stands on the topic before the workers start; the first batches warm them up. A customer's
    interactions of the same moment come by several identifiers, and so in several partitions: two workers wait for each
    other's customers. Apart, each customer's are all in one.
    """
    async with ground(CUSTOMERS, kafka=True) as place:
        records = outgoing(2 * MEASURED + WARMING, place.vault, CUSTOMERS)
        bare = await bare_insert(place.engine, records[WARMING : WARMING + MEASURED])
        await append_all(place.stream, records[: WARMING + MEASURED])
        with own_process("scoring", place.settings) as worker:
            spent = await scored(place, [worker], after=WARMING)
        await append_all(place.stream, records[WARMING + MEASURED :])
        two = await _by_two(place)
        await append_all(place.stream, outgoing(MEASURED, place.vault, CUSTOMERS, name="apart", apart=True))
        apart = await _by_two(place)
    for name, measured, goal in (
        ("one worker", spent, 20_000),
        ("two workers", two, 30_000),
        ("two workers, customers apart", apart, 30_000),
    ):
        yield Result(
            name=f"scoring from Kafka, {name}",
            value=measured.interactions / measured.seconds,
            unit=f"interactions/s, {CUSTOMERS:,} customers",
            goal=goal,
            baseline="bare de-duplicating INSERT",
            baseline_value=bare,
            ratio_goal=0.40,
        )
    for result in cpu_told("scoring from Kafka", spent):
        yield result


async def _by_two(place: Ground) -> Spent:
    second = place.settings.model_copy(update={"scoring_port": free_port()})
    with own_process("scoring", place.settings) as worker, own_process("scoring", second) as other:
        return await scored(place, [worker, other], after=WARMING)


def cpu_told(name: str, spent: Spent) -> Iterator[Result]:
    """Who took how much of the processor, for each 100,000 interactions."""
    for process, seconds in (
        ("the worker", spent.workers_s),
        ("PostgreSQL's backends", spent.backends_s),
        ("PostgreSQL's other processes", spent.others_s),
    ):
        yield Result(
            name=f"{name}: {process}", value=seconds / spent.interactions * 100_000, unit="CPU seconds / 100,000"
        )


@benchmark("scoring-embedded")
async def scoring_embedded() -> AsyncIterator[Result]:
    """Append alone; then end to end, the worker running while it is appended."""
    async with ground(CUSTOMERS, kafka=False) as place:
        records = outgoing(2 * MEASURED, place.vault, CUSTOMERS)
        started = time.perf_counter()
        await append_all(place.stream, records[:MEASURED])
        yield Result(
            name="scoring-embedded-append",
            value=MEASURED / (time.perf_counter() - started),
            unit=f"interactions/s, batches of {APPEND}",
            goal=40_000,
        )
        with own_process("scoring", place.settings) as worker:
            await scored(place, [worker])
            started = time.perf_counter()
            await append_all(place.stream, records[MEASURED:])
            await scored(place, [worker])
            seconds = time.perf_counter() - started
    yield Result(
        name="scoring-embedded-end-to-end",
        value=MEASURED / seconds,
        unit=f"interactions/s, {CUSTOMERS:,} customers",
        goal=8_000,
    )


def outgoing(
    count: int, vault: Vault, customers: int, *, name: str = "measured", apart: bool = False
) -> list[Outgoing]:
    """As ingest appends them, the same with each call: in every `BATCH` of them CUSTOMERS_PER_INTERACTION. `name`: what
    their ids begin with. `apart`: all of a customer's in one partition."""
    draw = random.Random(name)
    midnight = _midnight()
    mix = cycle(simulated(TEMPLATES, seed=2))
    records = []
    for number in range(0, count, BATCH):
        chosen = draw.sample(range(customers), int(BATCH * CUSTOMERS_PER_INTERACTION))
        whose = chosen + draw.choices(chosen, k=BATCH - len(chosen))
        draw.shuffle(whose)
        for index, (customer, one) in enumerate(zip(whose, islice(mix, BATCH), strict=True)):
            kinds = [kind for kind in _KINDS if kind in one.identifiers] or ["user_id"]
            moved = msgspec.structs.replace(
                one,
                id=f"{name}-{number + index}",
                time=midnight - timedelta(seconds=draw.randrange(86_400)),
                identifiers={kind: _identifier(kind, customer) for kind in kinds},
            )
            by = (_KINDS[0], _identifier(_KINDS[0], customer)) if apart else strongest(moved.identifiers)
            records.append(Outgoing(vault.identifier_hash(*by), encode(moved)))
    return records[:count]


def simulated(people: int, *, seed: int) -> list[Interaction]:
    """Half a year of them, as ingest admits it."""
    midnight = _midnight()
    terms = Terms(source=Source(id=1, name="site", trust=BACKEND), received=midnight, new_id=str, ahead_max=None)
    items = until(simulate(people, seed, midnight), midnight)
    return [read_claim(msgspec.json.encode(item), terms).interaction for item in items]


async def append_all(stream: Stream, records: Sequence[Outgoing]) -> None:
    """In batches of APPEND, a few at a time, as ingest's requests are."""
    batches = iter([records[start : start + APPEND] for start in range(0, len(records), APPEND)])

    async def appender() -> None:
        for batch in batches:
            await stream.append(INTERACTIONS, batch)

    await asyncio.gather(*(appender() for _ in range(APPENDERS)))


async def scored(place: Ground, workers: Sequence[psutil.Process], *, after: int = 0) -> Spent:
    """Returns when all that was appended is scored; measures from the commit that passed `after` interactions."""
    end = sum((await place.stream.ends(INTERACTIONS)).values())
    base = await _position(place.engine)
    first, began, before = base, time.perf_counter(), _cpu(place, workers)
    while (position := await _position(place.engine)) < end:
        if first < base + after <= position:
            first, began, before = position, time.perf_counter(), _cpu(place, workers)
        await asyncio.sleep(0.02)
    seconds, spent = time.perf_counter() - began, _cpu(place, workers)
    return Spent(end - first, seconds, *(now - then for now, then in zip(spent, before, strict=True)))


async def bare_insert(engine: AsyncEngine, records: Sequence[Outgoing]) -> float:
    """Rows a second of the same interactions into a table that knows a duplicate, one transaction a batch."""
    rows = [(_key(record.value), record.value) for record in records]
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE bare (key uuid PRIMARY KEY, body bytea NOT NULL)"))
    started = time.perf_counter()
    for start in range(0, len(rows), BATCH):
        keys, bodies = zip(*rows[start : start + BATCH], strict=True)
        async with engine.begin() as connection:
            raw = await driver_connection(connection)
            await raw.execute(
                "INSERT INTO bare SELECT * FROM unnest($1::uuid[], $2::bytea[]) ON CONFLICT DO NOTHING", keys, bodies
            )
    seconds = time.perf_counter() - started
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE bare"))
    return len(rows) / seconds


@asynccontextmanager
async def ground(customers: int, *, kafka: bool) -> AsyncIterator[Ground]:
    """With so many customers. Raises Unmeasurable."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(own_directory())
        settings = await _database(directory, stack)
        if kafka:
            broker = stack.enter_context(own_broker(directory / "kafka"))
            settings = settings.model_copy(update={"kafka_bootstrap_servers": broker.bootstrap_servers})
        assert settings.database_url is not None
        engine = engine_of(settings.database_url.get_secret_value())
        stack.push_async_callback(engine.dispose)
        await migrate(settings, engine)
        vault = await open_vault(engine, settings)
        opened = await stack.enter_async_context(open_stream(settings, engine, vault))
        pid = int((directory / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        place = Ground(settings, engine, vault, opened, psutil.Process(pid))
        await _populate(place, customers)
        yield place


async def _database(directory: Path, stack: AsyncExitStack) -> Settings:
    """As `tierwise up` runs it: a commit is on the disk."""
    server = EmbeddedPostgres(directory)
    await asyncio.to_thread(server.start)
    stack.callback(server.stop)
    settings = test_settings(database_url=server.dsn, data_dir=directory)
    return settings.model_copy(update={"stream_partitions": PARTITIONS, "scoring_port": free_port()})


async def _populate(place: Ground, customers: int) -> None:
    """A simulated population scored by the worker, and as many copies of its customers as are wanted."""
    vault = place.vault
    history = simulated(TEMPLATES, seed=1)
    await append_all(
        place.stream, [Outgoing(vault.identifier_hash(*strongest(one.identifiers)), encode(one)) for one in history]
    )
    with own_process("scoring", place.settings) as worker:
        await scored(place, [worker])
    async with place.engine.begin() as connection:
        first = (await connection.execute(select(func.max(tables.customers.c.id)))).scalar_one() + 1
        await connection.execute(
            text("""CREATE TEMP TABLE templates ON COMMIT DROP AS
                    SELECT id, row_number() OVER (ORDER BY id) - 1 AS number
                    FROM customers WHERE merged_into IS NULL""")
        )
        for name, key in _COPIED:
            others = ", ".join(column.name for column in tables.metadata.tables[name].c if column.name != key)
            await connection.execute(
                text(f"""INSERT INTO {name} ({key}, {others})
                         SELECT :first + copy, {others} FROM generate_series(0, :count - 1) AS copy
                         JOIN templates ON number = copy % (SELECT count(*) FROM templates)
                         JOIN {name} AS held ON held.{key} = templates.id"""),
                {"first": first, "count": customers},
            )
        await connection.execute(text("SELECT setval('customer_ids', :last)"), {"last": first + customers})
        raw = await driver_connection(connection)
        await raw.copy_records_to_table(
            "identifiers",
            columns=("hash", "customer_id", "kind", "ciphertext"),
            records=_identifiers(first, customers, vault),
        )
    async with place.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
        await connection.execute(text("CHECKPOINT"))


def _identifiers(first: int, customers: int, vault: Vault) -> Iterator[tuple[Any, ...]]:
    return (
        (vault.identifier_hash(kind, value), first + number, kind, vault.seal(value.encode(), context=kind.encode()))
        for number in range(customers)
        for kind in _KINDS
        for value in (_identifier(kind, number),)
    )


def _identifier(kind: str, customer: int) -> str:
    return f"customer.{customer}@example.com" if kind == "email" else f"{kind}-{customer}"


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _key(value: bytes) -> bytes:
    named = msgspec.json.decode(value, type=_Named)
    return key_of(named.source, named.id)


class _Named(msgspec.Struct):
    id: str
    source: str


async def _position(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        found = await connection.execute(select(func.sum(tables.stream_positions.c.position)))
        return int(found.scalar_one() or 0)


def _cpu(place: Ground, workers: Sequence[psutil.Process]) -> tuple[float, float, float]:
    """Seconds that the workers, the server's backends and its other processes have taken so far."""
    backends = others = 0.0
    for process in (place.postmaster, *place.postmaster.children()):
        try:
            taken, line = _seconds(process), " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if "[local]" in line or "127.0.0.1(" in line:
            backends += taken
        else:
            others += taken
    return sum(map(_seconds, workers)), backends, others


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
