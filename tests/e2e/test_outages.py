"""Services that are killed, told to stop, or lose their database or broker under traffic: all that was accepted
counts, once, and nothing is a dead letter for it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import test_settings
from tests.support.importing import counted
from tests.support.kafka import Broker, start_broker
from tests.support.services import Deployment, Service, deployed, until
from tierwise.db.embedded import EmbeddedPostgres
from tierwise.db.engine import engine_of
from tierwise.db.migrate import migrate
from tierwise.db.tables import dead_letters, interactions

AWAY_S = 2.0
NOTICED_WITHIN_S = 10.0
BACK_WITHIN_S = 30.0
ITEMS = 20


class Traffic:
    """A client that sends a request after the other, each until it is accepted."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.accepted = self.refused = 0
        self._url, self._headers = url, headers
        self._enough = asyncio.Event()

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=15) as client:
            for number in count():
                if self._enough.is_set():
                    return
                await self._deliver(client, [_visit(number * ITEMS + index) for index in range(ITEMS)])
                await asyncio.sleep(0.01)

    async def more(self, items: int) -> None:
        """Until so many more are accepted."""
        wanted = self.accepted + items

        async def there() -> bool:
            return self.accepted >= wanted

        await until(there, within_s=BACK_WITHIN_S, told=lambda: f"accepted {self.accepted}, refused {self.refused}")

    def stop(self) -> None:
        self._enough.set()

    async def _deliver(self, client: httpx.AsyncClient, items: list[dict[str, object]]) -> None:
        while True:
            try:
                response = await client.post("/v1/interactions", json=items)
            except httpx.TransportError:
                self.refused += 1
            else:
                if response.status_code == 202:
                    assert response.json()["accepted"] == len(items)
                    self.accepted += len(items)
                    return
                assert response.status_code == 503, response.text
                self.refused += 1
            await asyncio.sleep(0.1)


@asynccontextmanager
async def traffic(deployment: Deployment, ingest: Service) -> AsyncIterator[Traffic]:
    """Flowing, and afterwards all of it scored."""
    flowing = Traffic(ingest.url, await deployment.write_key("site"))
    running = asyncio.create_task(flowing.run())
    try:
        await flowing.more(10 * ITEMS)
        yield flowing
    finally:
        flowing.stop()
        await asyncio.wait_for(running, BACK_WITHIN_S)


async def test_what_a_killed_ingest_had_accepted_counts_once(embedded: Deployment, engine: AsyncEngine) -> None:
    ingest, _ = await embedded.start_all("ingest", "scoring")
    async with traffic(embedded, ingest) as flowing:
        await ingest.kill()
        await asyncio.sleep(0.3)
        await embedded.start("ingest", port=ingest.port)
        await flowing.more(10 * ITEMS)
    assert flowing.refused > 0
    await _all_scored(embedded, engine, flowing.accepted)


async def test_scoring_that_is_told_to_stop_ends_its_batch_and_another_goes_on(
    deployment: Deployment, engine: AsyncEngine
) -> None:
    ingest, scoring = await deployment.start_all("ingest", "scoring", scoring_batch_max=50)
    async with traffic(deployment, ingest) as flowing:
        assert await scoring.stop() == 0  # raises TimeoutError where it takes too long
        await flowing.more(5 * ITEMS)
    await deployment.start("scoring")
    await _all_scored(deployment, engine, flowing.accepted)
    assert "Traceback" not in deployment.said()


async def test_postgresql_may_crash_under_traffic(short_dir: Path, tmp_path: Path) -> None:
    (short_dir / "crashing").mkdir()
    (short_dir / "crashing").chmod(0o711)  # where we are root the server runs as another user
    server = EmbeddedPostgres(short_dir / "crashing", options={"fsync": "off"})
    await asyncio.to_thread(server.start)
    engine = engine_of(server.dsn)
    try:
        await migrate(test_settings(database_url=server.dsn, data_dir=tmp_path), engine)
        async with deployed(tmp_path, server.dsn) as deployment:
            services = await deployment.start_all("ingest", "scoring", "profile-api")
            async with traffic(deployment, services[0]) as flowing:
                os.kill(server.postmaster_pid, signal.SIGQUIT)  # as pg_ctl's immediate mode: a crash, recovered from
                await _away_for_a_while(services)
                await asyncio.to_thread(server.revive)
                await _back(services)
                await flowing.more(10 * ITEMS)
            assert flowing.refused > 0
            await _all_scored(deployment, engine, flowing.accepted)
    finally:
        await engine.dispose()
        await asyncio.to_thread(server.stop)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One of this test's own, which it may kill."""
    broker = start_broker(tmp_path / "kafka")
    yield broker
    broker.stop()


async def test_the_broker_may_crash_under_traffic(
    broker: Broker, database: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with deployed(tmp_path, database, broker.bootstrap_servers) as deployment:
        services = await deployment.start_all("ingest", "scoring", ingest_append_timeout_s=2)
        async with traffic(deployment, services[0]) as flowing:
            await asyncio.to_thread(broker.kill)
            await _away_for_a_while(services)
            await asyncio.to_thread(broker.start)
            await _back(services)
            await flowing.more(10 * ITEMS)
        assert flowing.refused > 0
        await _all_scored(deployment, engine, flowing.accepted)


async def _away_for_a_while(services: list[Service]) -> None:
    for service in services:
        await until(_not(service.ready), within_s=NOTICED_WITHIN_S, told=service.said)
    await asyncio.sleep(AWAY_S)


async def _back(services: list[Service]) -> None:
    for service in services:
        await until(service.ready, within_s=BACK_WITHIN_S, told=service.said)


async def _all_scored(deployment: Deployment, engine: AsyncEngine, accepted: int) -> None:
    """Every accepted interaction is in its customer's timeline, once, and none is a dead letter."""

    async def there() -> bool:
        return await counted(engine, select(func.count()).select_from(interactions)) >= accepted

    await until(there, within_s=BACK_WITHIN_S, told=deployment.said)
    views = await deployment.export()
    assert sum(view["interactions"] for view in views) == accepted
    assert await counted(engine, select(func.count()).select_from(dead_letters)) == 0


def _not(holds: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def opposite() -> bool:
        return not await holds()

    return opposite


def _visit(number: int) -> dict[str, object]:
    return {
        "id": f"visit-{number}",
        "channel": "web",
        "type": "page_view",
        "identifiers": {"user_id": f"u{number % 37}"},
        "properties": {"path": "/pricing"},
    }
