"""Clients that send a request after the other, each until it is accepted, and what has to come of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.importing import counted
from tests.support.services import Deployment, Service, until
from tierwise.db.tables import dead_letters, interactions

BACK_WITHIN_S = 30.0
ITEMS = 20
CUSTOMERS = 37

Make = Callable[[int], dict[str, Any]]


class Traffic:
    """`accepted`, `refused`: interactions and requests so far. `make`: the interaction of each number."""

    def __init__(self, url: str, headers: Mapping[str, str], make: Make, *, items: int = ITEMS) -> None:
        self.accepted = self.refused = 0
        self._url, self._headers, self._make, self._items = url, headers, make, items
        self._requests = count()
        self._enough = asyncio.Event()

    async def run(self, *, clients: int = 1) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(self._send())

    async def _send(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=15) as client:
            while not self._enough.is_set():
                start = next(self._requests) * self._items
                await self._deliver(client, [self._make(start + index) for index in range(self._items)])
                await asyncio.sleep(0.01)

    async def more(self, items: int, *, within_s: float = BACK_WITHIN_S) -> None:
        """Until so many more are accepted."""
        wanted = self.accepted + items

        async def there() -> bool:
            return self.accepted >= wanted

        await until(there, within_s=within_s, told=lambda: f"accepted {self.accepted}, refused {self.refused}")

    async def until_refused(self, *, within_s: float) -> None:
        """Until one more request is."""
        before = self.refused

        async def refused() -> bool:
            return self.refused > before

        await until(refused, within_s=within_s, told=lambda: f"accepted {self.accepted}")

    def stop(self) -> None:
        self._enough.set()

    async def _deliver(self, client: httpx.AsyncClient, items: list[dict[str, Any]]) -> None:
        while True:
            try:
                response = await client.post("/v1/interactions", json=items)
            except httpx.TransportError:
                self.refused += 1
            else:
                if response.status_code == 202:
                    assert response.json()["accepted"] == len(items), response.text
                    self.accepted += len(items)
                    return
                assert response.status_code == 503, response.text
                assert int(response.headers["retry-after"]) >= 1
                self.refused += 1
            await asyncio.sleep(0.1)


@asynccontextmanager
async def traffic(
    deployment: Deployment, ingest: Service, *, clients: int = 1, items: int = ITEMS
) -> AsyncIterator[Traffic]:
    """Flowing. `items`: of a request."""
    flowing = Traffic(ingest.url, await deployment.write_key("site"), visits_from(datetime.now(UTC)), items=items)
    running = asyncio.create_task(flowing.run(clients=clients))
    try:
        await flowing.more(10 * items)
        yield flowing
    finally:
        flowing.stop()
        await asyncio.wait_for(running, BACK_WITHIN_S)


def visits_from(now: datetime) -> Make:
    """Visits and a few orders of the day before, by number: whoever sends them, they say the same."""
    start = now - timedelta(days=1)

    def made(number: int) -> dict[str, Any]:
        plain = {
            "id": f"visit-{number}",
            "time": (start + timedelta(milliseconds=number)).isoformat(),
            "channel": "web",
            "type": "page_view",
            "identifiers": {"user_id": f"u{number % CUSTOMERS}"},
            "properties": {"path": "/pricing"},
        }
        order = {"channel": "order", "type": "purchase", "properties": {"amount": f"{number}.25", "currency": "CNY"}}
        return plain | order if number % 10 == 0 else plain

    return made


async def all_scored(
    deployment: Deployment, engine: AsyncEngine, accepted: int, *, within_s: float = BACK_WITHIN_S
) -> None:
    """Every accepted interaction is in its customer's timeline, once, and none is a dead letter."""

    async def there() -> bool:
        return await counted(engine, select(func.count()).select_from(interactions)) >= accepted

    await until(there, within_s=within_s, told=deployment.said)
    views = await deployment.export()
    assert sum(view["interactions"] for view in views) == accepted
    orders = (accepted + 9) // 10
    assert sum(view["orders"]["count"] for view in views if view["orders"]) == orders
    assert await counted(engine, select(func.count()).select_from(dead_letters)) == 0


async def away(services: Sequence[Service], *, within_s: float = 10.0) -> None:
    """Until all of them say so."""
    for service in services:
        await until(lambda service=service: _not_ready(service), within_s=within_s, told=service.said)  # type: ignore[misc]


async def back(services: Sequence[Service], *, within_s: float = BACK_WITHIN_S) -> None:
    """Until all of them say so."""
    for service in services:
        await until(service.ready, within_s=within_s, told=service.said)


async def _not_ready(service: Service) -> bool:
    return not await service.ready()
