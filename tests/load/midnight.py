"""Midnight: everyone whose points fade is reviewed by two scoring processes, while interactions go on coming.

TIERWISE_BENCH_CUSTOMERS: how many customers there are (200,000). They were classified on the day before, so all of them
are due from the start; as many as KNOWN have an identifier, and are whom the interactions are of.
"""

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.load.bench import Result, benchmark
from tests.load.population import settle, store_population
from tests.load.reclassify import CUSTOMERS, PROCESSES, bare_update
from tests.load.running import own_directory
from tests.support.services import Deployment, deployed, until
from tierwise.db.embedded import embedded_postgres
from tierwise.db.engine import driver_connection, open_engine
from tierwise.db.migrate import migrate
from tierwise.domain.interaction import Interaction, encode, key_of
from tierwise.security.personal import Vault, open_vault
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing, Stream
from tierwise.stream.topics import INTERACTIONS

KNOWN: Final = min(20_000, CUSTOMERS)
BATCH: Final = 50
EVERY_S: Final = 0.1
WARM_S: Final = 3.0  # after the start of the processes, whose first interactions wait for their first batch
CALM_S: Final = 10.0
_KIND: Final = "user_id"
_SOURCE: Final = "load"


@dataclass(slots=True)
class Live:
    """Interactions that are appended all the time. `latencies`: when each batch was acknowledged, and how many seconds
    later its classification was committed."""

    stream: Stream
    engine: AsyncEngine
    vault: Vault
    told: Callable[[], str]
    latencies: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled."""
        draw = random.Random(3)
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                group.create_task(self._batch(number, draw.choices(range(KNOWN), k=BATCH)))
                await asyncio.sleep(EVERY_S)

    async def _batch(self, number: int, whose: Sequence[int]) -> None:
        batch = [interaction(f"{number}-{index}", customer) for index, customer in enumerate(whose)]
        keys = [(one, self.vault.identifier_hash(_KIND, one.identifiers[_KIND])) for one in batch]
        await self.stream.append(INTERACTIONS, [Outgoing(key, encode(one)) for one, key in keys])
        appended = time.perf_counter()
        await until(lambda: self._are_scored(batch), within_s=120, told=self.told, every_s=0.01)
        self.latencies.append((appended, time.perf_counter() - appended))

    async def _are_scored(self, batch: Sequence[Interaction]) -> bool:
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            wanted = [key_of(one.source, one.id) for one in batch]
            scored = await tx.fetchval("SELECT count(*) FROM interaction_keys WHERE key = ANY($1::uuid[])", wanted)
            return int(scored) == len(batch)


@benchmark("midnight")
async def midnight() -> AsyncIterator[Result]:
    """All of them due at once, then nobody: interactions are to be as fresh as ever."""
    async with populated() as (deployment, engine, vault):
        bare = await bare_update(engine)
        async with open_stream(deployment.settings, engine, vault) as stream, asyncio.TaskGroup() as group:
            live = Live(stream, engine, vault, deployment.said)
            coming = group.create_task(live.run())
            due = await count_due(engine)
            started = time.perf_counter()
            await deployment.start_all(*["scoring"] * PROCESSES)
            ready = time.perf_counter()
            await until(lambda: nobody_is_due(engine), within_s=600, told=deployment.said, every_s=0.2)
            done = time.perf_counter()
            await asyncio.sleep(CALM_S)
            coming.cancel()
    seconds = done - started
    busy = [waited for appended, waited in live.latencies if ready + WARM_S < appended < done]
    calm = [waited for appended, waited in live.latencies if appended >= done]
    yield Result(
        name="midnight",
        value=due / seconds,
        unit=f"customers/s ({due:,} in {seconds:.0f} s, with the start of the processes)",
        goal=1_000_000 / 60,
        baseline="bare UPDATE of the rows",
        baseline_value=bare,
    )
    yield Result(
        name="midnight-live-p99",
        value=p99_ms(busy),
        unit=f"ms, acknowledged to committed, {BATCH / EVERY_S:.0f}/s",
        goal=250,
        lower_is_better=True,
        baseline="nobody due",
        baseline_value=p99_ms(calm),
    )


@asynccontextmanager
async def populated() -> AsyncIterator[tuple[Deployment, AsyncEngine, Vault]]:
    """Customers as they were classified a day ago, some of whom have an identifier."""
    with own_directory() as path:
        async with (
            embedded_postgres(path / "database") as dsn,
            deployed(path, dsn) as deployment,
            open_engine(deployment.settings, pool_size=20) as engine,
        ):
            await migrate(deployment.settings, engine)
            await store_population(engine, CUSTOMERS, datetime.now(UTC) - timedelta(days=1))
            vault = await open_vault(engine, deployment.settings)
            await identify(engine, vault)
            await settle(engine)
            yield deployment, engine, vault


async def identify(engine: AsyncEngine, vault: Vault) -> None:
    """KNOWN customers, evenly over all."""
    step = CUSTOMERS // KNOWN
    named = [(number * step + 1, name_of(number)) for number in range(KNOWN)]
    async with engine.begin() as connection:
        tx = await driver_connection(connection)
        await tx.copy_records_to_table(
            "identifiers",
            columns=("hash", "customer_id", "kind", "ciphertext"),
            records=[
                (vault.identifier_hash(_KIND, name), id_, _KIND, vault.seal(name.encode(), context=_KIND.encode()))
                for id_, name in named
            ],
        )
        await connection.execute(text("SELECT setval('customer_ids', :last)"), {"last": CUSTOMERS})


def interaction(id_: str, customer: int) -> Interaction:
    now = datetime.now(UTC)
    return Interaction(
        id=id_, source=_SOURCE, time=now, received=now, channel="web", type="page_view",
        identifiers={_KIND: name_of(customer)}, properties={"path": "/pricing"},
    )  # fmt: skip


def name_of(customer: int) -> str:
    return f"customer-{customer}"


async def count_due(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM reviews WHERE due <= now()"))).scalar_one())


async def nobody_is_due(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        somebody = text("SELECT EXISTS (SELECT FROM reviews WHERE due <= now())")
        return not (await connection.execute(somebody)).scalar_one()


def p99_ms(latencies: Sequence[float]) -> float:
    """0 where there are too few."""
    return statistics.quantiles(latencies, n=100)[98] * 1000 if len(latencies) > 1 else 0.0
