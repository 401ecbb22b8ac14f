"""A minute without PostgreSQL, without Apache Kafka, without both, many clients trying again all the time; disks that
are full. What was accepted counts, once; memory stays bounded; nobody has to do anything when it is over."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.kafka import Broker, start_broker
from tests.support.outages import proxied, through
from tests.support.proxy import Proxy
from tests.support.services import Service, deployed
from tests.support.tmpfs import small_disk
from tests.support.traffic import ITEMS, all_scored, away, back, traffic

AWAY_S = 60.0
REFUSED, ACCEPTED = (16, 500), (4, 100)
"""Clients and interactions of a request: where the stream is away, and where it takes all that comes meanwhile."""

GROWTH_BYTES_MAX = 150_000_000


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    proxy = proxied(database)
    await proxy.start()
    yield proxy
    await proxy.go_away()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = start_broker(tmp_path / "kafka")
    yield broker
    broker.stop()


async def test_a_minute_without_postgresql(proxy: Proxy, database: str, engine: AsyncEngine, tmp_path: Path) -> None:
    await _a_minute(None, proxy, database, engine, tmp_path, without=("database",))


@pytest.mark.parametrize("without", [("database",), ("broker",), ("database", "broker")], ids=" and ".join)
async def test_a_minute_without(
    broker: Broker, proxy: Proxy, database: str, engine: AsyncEngine, tmp_path: Path, without: Sequence[str]
) -> None:
    await _a_minute(broker, proxy, database, engine, tmp_path, without=without)


async def _a_minute(
    broker: Broker | None,
    proxy: Proxy,
    database: str,
    engine: AsyncEngine,
    tmp_path: Path,
    *,
    without: Sequence[str],
) -> None:
    bootstrap_servers = None if broker is None else broker.bootstrap_servers
    clients, items = ACCEPTED if broker is not None and "broker" not in without else REFUSED
    async with deployed(tmp_path, database, bootstrap_servers) as deployment:
        services = await deployment.start_all("ingest", "scoring", database_url=through(database, proxy))
        async with traffic(deployment, services[0], clients=clients, items=items) as flowing:
            await flowing.more(40 * items)
            before = _memory_bytes(services)
            if "database" in without:
                await proxy.go_away()
            if broker is not None and "broker" in without:
                await asyncio.to_thread(broker.kill)
            await away([services[1]])
            accepted, refused = flowing.accepted, flowing.refused
            highest = await _highest_memory_bytes(services, for_s=AWAY_S)
            while_away = flowing.accepted - accepted, flowing.refused - refused
            if broker is not None and "broker" in without:
                await asyncio.to_thread(broker.start)
            if "database" in without:
                await proxy.start()
            again = monotonic()
            await back(services)
            ready_s = monotonic() - again
            await flowing.more(10 * items)
        await all_scored(deployment, engine, flowing.accepted, within_s=180)
        scored_s = monotonic() - again
    print(
        f"\nwithout {' and '.join(without)} for {AWAY_S:.0f} s, {clients} clients: accepted {while_away[0]}, "
        f"refused {while_away[1]} meanwhile; ready {ready_s:.1f} s after, "
        f"all {flowing.accepted} scored {scored_s:.1f} s after; "
        + ", ".join(
            f"{one.name} {was / 1e6:.0f} -> {most / 1e6:.0f} MB"
            for one, was, most in zip(services, before, highest, strict=True)
        )
    )
    for was, most in zip(before, highest, strict=True):
        assert most - was < GROWTH_BYTES_MAX
    assert "Traceback" not in deployment.said()


async def test_a_brokers_disk_that_is_full_is_waited_for(database: str, engine: AsyncEngine, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=300) as disk:
        broker = start_broker(disk.path / "kafka")
        try:
            async with deployed(tmp_path, database, broker.bootstrap_servers) as deployment:
                services = await deployment.start_all("ingest", "scoring", ingest_append_timeout_s=2)
                async with traffic(deployment, services[0], clients=4, items=500) as flowing:
                    disk.fill()
                    await flowing.until_refused(within_s=120)
                    await asyncio.sleep(10)
                    disk.empty()
                    await asyncio.to_thread(broker.kill)  # it has ended by itself, and a supervisor starts it again
                    await asyncio.to_thread(broker.start)
                    await back(services)
                    await flowing.more(10 * ITEMS)
                await all_scored(deployment, engine, flowing.accepted)
        finally:
            broker.stop()


def _memory_bytes(services: Sequence[Service]) -> list[int]:
    """Resident, of each."""
    found = []
    for service in services:
        lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")))
    return found


async def _highest_memory_bytes(services: Sequence[Service], *, for_s: float) -> list[int]:
    highest = _memory_bytes(services)
    end = monotonic() + for_s
    while monotonic() < end:
        await asyncio.sleep(0.5)
        highest = [max(pair) for pair in zip(highest, _memory_bytes(services), strict=True)]
    return highest
