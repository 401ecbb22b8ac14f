"""Listening to the profile API, and changes to be heard."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import httpx
import msgspec
import uvicorn
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.services import free_port
from tierwise.db import tables
from tierwise.db.outbox import CHANNEL, SHARDS
from tierwise.serving import UVICORN
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app

PATIENCE_S = 10.0
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Heard(NamedTuple):
    """`id`: the position after it. `event`: `message` for a change."""

    id: str
    event: str
    data: Any


class Ear:
    """A server-sent event stream that is open; it reads as browsers do."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self._lines = response.aiter_lines()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, headers: Mapping[str, str], *, last_id: str | None = None, **parameters: Any
    ) -> AsyncIterator[Self]:
        """Once the server has said from where on it tells."""
        given = {**headers} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx.Timeout(PATIENCE_S, read=None)
        async with (
            httpx.AsyncClient(timeout=timeout) as client,
            client.stream("GET", url, headers=given, params=parameters) as response,
        ):
            assert response.status_code == 200, await response.aread()
            ear = cls(response)
            await ear._block()
            yield ear

    async def next(self, *, within_s: float = PATIENCE_S) -> Heard:
        """The next event that has data. Fails where none comes."""
        async with asyncio.timeout(within_s):
            while (heard := await self._block()) is None:
                continue
        return heard

    async def take(self, count: int) -> list[Heard]:
        return [await self.next() for _ in range(count)]

    async def beat(self) -> None:
        """A heartbeat, and nothing else."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self._block() is None

    async def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for so long; the stream cannot be read after that."""
        try:
            async with asyncio.timeout(seconds):
                await self._block()
        except TimeoutError:
            return True
        return False

    async def _block(self) -> Heard | None:
        event, data = "message", ""
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                event = value
            elif name == "data":
                data += value
            elif not line:
                return Heard(self.last_id, event, msgspec.json.decode(data)) if data else None
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def listening_api(settings: Settings, *, heartbeat_s: float = 15.0) -> AsyncIterator[str]:
    """A profile API in this process; its address."""
    app = create_app(settings)
    app.state.live = replace(app.state.live, heartbeat_s=heartbeat_s)
    port = free_port()
    async with app.router.lifespan_context(app):
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", **UVICORN))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            app.state.live.feed.close()
            server.should_exit = True
            await serving


async def record(connection: AsyncConnection, customer: int, sequence: int, aspect: str = "tier", **given: Any) -> None:
    """A change of this customer, and a word of it when the transaction commits."""
    rulebook = select(func.max(tables.rulebooks.c.id)).scalar_subquery()
    values = {"from": "C", "to": "B", "score": 675, "cause": "interaction", "reasons": b"", "quiet": False, "at": AT}
    row = {"customer_id": customer, "sequence": sequence, "shard": customer % SHARDS, "aspect": aspect, **values}
    await connection.execute(insert(tables.changes).values(row | {"rulebook_id": rulebook} | given))
    await connection.execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))


async def known(connection: AsyncConnection, customer: int, *, merged_into: int | None = None) -> None:
    """A customer, of whom only the id matters here."""
    rulebook = select(func.max(tables.rulebooks.c.id)).scalar_subquery()
    nothing = {"ledger": b"", "attributes": b"", "result": b"", "stage_since": AT.date(), "sequence": 0, "version": 1}
    times = {"first_seen": AT, "last_seen": AT, "classified_at": AT}
    row = {"id": customer, "merged_into": merged_into, "rulebook_id": rulebook, **nothing, **times}
    await connection.execute(insert(tables.customers).values(row))
