"""How fresh others are: from the answer 202 until a customer is visible, and until the change is heard live and read
from the topic, while interactions come in at a steady rate.

TIERWISE_BENCH_RATE: interactions a second (2,000). TIERWISE_BENCH_SECONDS: how long (20).
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import msgspec
import numpy as np

from tests.load.bench import Result, benchmark
from tests.load.running import own_broker, own_directory, own_process
from tests.support.database import test_settings
from tests.support.live import Ear
from tests.support.services import free_port
from tierwise.db.embedded import EmbeddedPostgres
from tierwise.db.engine import engine_of
from tierwise.db.migrate import migrate
from tierwise.domain.source import BACKEND
from tierwise.security.keys import create_read_key, create_write_key
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.topics import TIER_CHANGES
from tierwise.subscribing.follow import Following

RATE = int(os.environ.get("TIERWISE_BENCH_RATE", "2000"))
SECONDS = int(os.environ.get("TIERWISE_BENCH_SECONDS", "20"))
A_REQUEST = 50
NEW_OF_REQUEST = 5
KNOWN = 2_000
WARMING_S = 5
WATCHED_EVERY_S = 0.05
POLL_S = 0.002
LATE_S = 5.0


@dataclass
class Times:
    """Moments on one clock, in seconds, by the interactions that made customers; of them those that count."""

    accepted: dict[str, float] = field(default_factory=dict)
    visible: dict[str, float] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)
    read: dict[str, float] = field(default_factory=dict)

    def latencies(self, arrived: dict[str, float]) -> list[float]:
        """What arrived before the answer was read took no time."""
        return [max(0.0, arrived[one] - at) for one, at in self.accepted.items() if one in arrived]


@dataclass(frozen=True)
class Running:
    settings: Settings
    ingest: str
    api: str
    write: Mapping[str, str]
    read: Mapping[str, str]


@benchmark("freshness-embedded")
async def freshness_embedded() -> AsyncIterator[Result]:
    async for result in _freshness("freshness-embedded", kafka=False):
        yield result


@benchmark("freshness-kafka")
async def freshness_kafka() -> AsyncIterator[Result]:
    async for result in _freshness("freshness-kafka", kafka=True):
        yield result


async def _freshness(name: str, *, kafka: bool) -> AsyncIterator[Result]:
    times = Times()
    async with running(kafka=kafka) as place:
        listening = [asyncio.create_task(_listen(place, times)), asyncio.create_task(_follow(place, times))]
        await asyncio.sleep(WARMING_S)  # a consumer group takes 3 s to form
        watching = asyncio.create_task(_watch(place, times))
        sent, seconds = await _send(place, times)
        await asyncio.sleep(LATE_S)
        for task in (*listening, watching):
            task.cancel()
        await asyncio.gather(*listening, watching, return_exceptions=True)
    unit = f"ms p99, {RATE:,} interactions/s"
    yield Result(name=f"{name}-rate", value=sent / seconds, unit="interactions/s accepted", goal=RATE * 0.98)
    for what, arrived, goal in (
        ("visible", times.visible, 250),
        ("live", times.heard, 400),
        ("topic", times.read, 400),
    ):
        latencies = times.latencies(arrived)
        if what != "visible" and len(latencies) < len(times.accepted):
            raise RuntimeError(f"{len(times.accepted) - len(latencies)} changes did not arrive within {LATE_S} s")
        p50, p99 = (np.percentile(latencies, (50, 99)) * 1_000).tolist()
        yield Result(name=f"{name}-{what}", value=p99, unit=unit, goal=goal, lower_is_better=True)
        yield Result(name=f"{name}-{what}-median", value=p50, unit="ms", lower_is_better=True)


@asynccontextmanager
async def running(*, kafka: bool) -> AsyncIterator[Running]:
    """Ingest, scoring and profile API, a process each, on their own database and stream."""
    with ExitStack() as stack:
        directory = stack.enter_context(own_directory())
        servers = stack.enter_context(own_broker(directory / "kafka")).bootstrap_servers if kafka else None
        async with AsyncExitStack() as opened:
            server = EmbeddedPostgres(directory)
            await asyncio.to_thread(server.start)
            opened.callback(server.stop)
            ports = {f"{service}_port": free_port() for service in ("ingest", "scoring", "profile_api")}
            settings = test_settings(database_url=server.dsn, data_dir=directory).model_copy(
                update={**ports, "kafka_bootstrap_servers": servers}
            )
            engine = engine_of(server.dsn)
            opened.push_async_callback(engine.dispose)
            await migrate(settings, engine)
            async with engine.begin() as connection:
                vault = await open_vault(connection, settings)
                write = await create_write_key(connection, vault, source="load", trust=BACKEND)
                read = await create_read_key(connection, vault, name="load")
            with ExitStack() as services:
                for service in ("ingest", "scoring", "profile-api"):
                    services.enter_context(own_process(service, settings))
                yield Running(
                    settings,
                    f"http://127.0.0.1:{settings.ingest_port}",
                    f"http://127.0.0.1:{settings.profile_api_port}",
                    {"Authorization": f"Bearer {write.secret}"},
                    {"Authorization": f"Bearer {read.secret}"},
                )


async def _send(place: Running, times: Times) -> tuple[int, float]:
    """At the rate, whether answers are quick or not; how many were accepted, in how many seconds."""
    numbers = count()
    measured = asyncio.Event()
    async with httpx.AsyncClient(base_url=place.ingest, headers=dict(place.write), timeout=30) as client:

        async def request() -> int:
            items = [_item(next(numbers), new=index < NEW_OF_REQUEST) for index in range(A_REQUEST)]
            answer = await client.post("/v1/interactions", content=msgspec.json.encode(items))
            accepted = time.perf_counter()
            if measured.is_set():
                times.accepted |= {str(item["id"]): accepted for item in items[:NEW_OF_REQUEST]}
            return int(answer.json()["accepted"])

        await _paced(request, WARMING_S)
        measured.set()
        started = time.perf_counter()
        accepted = await _paced(request, SECONDS)
        return accepted, time.perf_counter() - started


async def _paced(request: Callable[[], Any], seconds: int) -> int:
    started = time.perf_counter()
    tasks = []
    for index in range(seconds * RATE // A_REQUEST):
        await asyncio.sleep(max(0.0, started + index * A_REQUEST / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(request()))
    return sum(await asyncio.gather(*tasks))


def _item(number: int, *, new: bool) -> dict[str, Any]:
    who = f"new{number}" if new else f"u{number % KNOWN}"
    order = {"channel": "order", "type": "purchase", "properties": {"amount": "120.00", "currency": "CNY"}}
    view = {"channel": "web", "type": "product_view", "properties": {"path": "/courses/7", "category": "courses"}}
    kind = order if number % 10 == 0 else view
    return {"id": f"i{number}", "time": datetime.now(UTC).isoformat(), "identifiers": {"user_id": who}, **kind}


async def _listen(place: Running, times: Times) -> None:
    async with Ear.open(f"{place.api}/v1/changes/live", place.read, aspect="tier") as ear:
        while True:
            heard = await ear.next(within_s=60)
            assert heard.event == "message", heard
            _note(heard.data, times.heard)


async def _follow(place: Running, times: Times) -> None:
    engine = engine_of(place.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    vault = await open_vault(engine, place.settings)
    try:
        async with open_stream(place.settings, engine, vault) as stream:
            async for one in Following(stream, TIER_CHANGES, []).slices():
                for record in one.records:
                    _note(msgspec.json.decode(record.value), times.read)
    finally:
        await engine.dispose()


async def _watch(place: Running, times: Times) -> None:
    """Newly accepted customers, one after the other, asked for until they are there."""
    known = 0
    async with httpx.AsyncClient(base_url=place.api, headers=dict(place.read)) as client:
        while True:
            await asyncio.sleep(WATCHED_EVERY_S)
            if len(times.accepted) == known:
                continue
            known = len(times.accepted)
            newest = next(reversed(times.accepted))
            path = f"/v1/customers/by/user_id/new{newest.removeprefix('i')}"
            while (await client.get(path)).status_code == 404:  # noqa: ASYNC110  (that is what is measured)
                await asyncio.sleep(POLL_S)
            times.visible[newest] = time.perf_counter()


def _note(change: dict[str, Any], arrived: dict[str, float]) -> None:
    """The first change of a customer."""
    if change["from"] is None:
        arrived[change["cause"]["interaction"]] = time.perf_counter()
