"""Services that are killed, told to stop, or lose their database, broker, connections or disk under traffic: all that
was accepted counts, once, and nothing is a dead letter for it."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import test_settings
from tests.support.kafka import Broker, start_broker
from tests.support.outages import proxied, through
from tests.support.proxy import Proxy
from tests.support.services import Deployment, deployed
from tests.support.tmpfs import small_disk
from tests.support.traffic import ITEMS, all_scored, away, back, traffic
from tierwise.db.embedded import EmbeddedPostgres, embedded_postgres
from tierwise.db.engine import engine_of
from tierwise.db.migrate import migrate

AWAY_S = 2.0


async def test_what_a_killed_ingest_had_accepted_counts_once(embedded: Deployment, engine: AsyncEngine) -> None:
    ingest, _ = await embedded.start_all("ingest", "scoring")
    async with traffic(embedded, ingest) as flowing:
        await ingest.kill()
        await asyncio.sleep(0.3)
        await embedded.start("ingest", port=ingest.port)
        await flowing.more(10 * ITEMS)
    assert flowing.refused > 0
    await all_scored(embedded, engine, flowing.accepted)


async def test_scoring_that_is_told_to_stop_ends_its_batch_and_another_goes_on(
    deployment: Deployment, engine: AsyncEngine
) -> None:
    ingest, scoring = await deployment.start_all("ingest", "scoring", scoring_batch_max=50)
    async with traffic(deployment, ingest) as flowing:
        assert await scoring.stop() == 0  # raises TimeoutError where it takes too long
        await flowing.more(5 * ITEMS)
    await deployment.start("scoring")
    await all_scored(deployment, engine, flowing.accepted)
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
                await away(services)
                await asyncio.sleep(AWAY_S)
                await asyncio.to_thread(server.revive)
                await back(services)
                await flowing.more(10 * ITEMS)
            assert flowing.refused > 0
            await all_scored(deployment, engine, flowing.accepted)
    finally:
        await engine.dispose()
        await asyncio.to_thread(server.stop)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One of this test's own, which it may kill."""
    broker = start_broker(tmp_path / "kafka")
    yield broker
    broker.stop()


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    """In front of the database, for services started with `database_url` of `through`."""
    proxy = proxied(database)
    await proxy.start()
    yield proxy
    await proxy.go_away()


async def test_the_broker_may_crash_under_traffic_alone_and_with_the_database(
    broker: Broker, proxy: Proxy, database: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with deployed(tmp_path, database, broker.bootstrap_servers) as deployment:
        dsn = through(database, proxy)
        services = await deployment.start_all("ingest", "scoring", ingest_append_timeout_s=2, database_url=dsn)
        async with traffic(deployment, services[0]) as flowing:
            for database_too in (False, True):
                await asyncio.to_thread(broker.kill)
                if database_too:
                    await proxy.go_away()
                await away(services)
                await asyncio.sleep(AWAY_S)
                await asyncio.to_thread(broker.start)
                if database_too:
                    await proxy.start()
                await back(services)
                await flowing.more(10 * ITEMS)
        assert flowing.refused > 0
        await all_scored(deployment, engine, flowing.accepted)


async def test_connections_may_be_cut_in_the_middle_of_transactions(
    embedded: Deployment, proxy: Proxy, database: str, engine: AsyncEngine
) -> None:
    draw = random.Random(1)
    dsn = through(database, proxy)
    ingest, _ = await embedded.start_all("ingest", "scoring", database_url=dsn, scoring_batch_max=50)
    async with traffic(embedded, ingest) as flowing:
        for _ in range(15):
            await asyncio.sleep(draw.uniform(0.01, 0.4))
            proxy.cut()
        await flowing.more(5 * ITEMS)
    await all_scored(embedded, engine, flowing.accepted)
    assert "Traceback" not in embedded.said()


async def test_a_database_that_is_slow_makes_nothing_fail(
    embedded: Deployment, proxy: Proxy, database: str, engine: AsyncEngine
) -> None:
    dsn = through(database, proxy)
    ingest, scoring = await embedded.start_all("ingest", "scoring", database_url=dsn)
    async with traffic(embedded, ingest) as flowing:
        proxy.delay_s = 0.1  # one way
        await flowing.more(5 * ITEMS)
        assert await ingest.ready()
        assert await scoring.ready()
    assert flowing.refused == 0
    await all_scored(embedded, engine, flowing.accepted)


async def test_a_disk_that_is_full_is_waited_for(short_dir: Path, tmp_path: Path) -> None:
    with small_disk(short_dir / "disk", megabytes=400) as disk:
        async with embedded_postgres(disk.path, options={"fsync": "off", "max_wal_size": "64MB"}) as dsn:
            engine = engine_of(dsn)
            await migrate(test_settings(database_url=dsn, data_dir=tmp_path), engine)
            async with deployed(tmp_path, dsn) as deployment:
                services = await deployment.start_all("ingest", "scoring")
                async with traffic(deployment, services[0]) as flowing:
                    disk.fill()
                    await flowing.until_refused(within_s=30)
                    await asyncio.sleep(AWAY_S)
                    disk.empty()
                    await back(services)
                    await flowing.more(10 * ITEMS)
                await all_scored(deployment, engine, flowing.accepted)
            await engine.dispose()
