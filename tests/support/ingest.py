"""Ingest for tests: the real application in this process, and what it has put on the stream."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
import msgspec
import uvicorn
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.services import free_port
from tierwise.db.tables import sources
from tierwise.domain.interaction import Interaction, decode
from tierwise.domain.source import BACKEND, Intake, Trust
from tierwise.security.keys import Created, create_write_key
from tierwise.security.personal import Vault
from tierwise.serving import UVICORN
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Partition, Record
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.app import create_app


@asynccontextmanager
async def serving(settings: Settings, *, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an ingest of its own, sending `key` with each request."""
    app = create_app(settings)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=headers, timeout=30) as client,
    ):
        yield client


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[str]:
    """An ingest of its own on a port; its address."""
    app, port = create_app(settings), free_port()
    async with app.router.lifespan_context(app):
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", **UVICORN))
        running = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await running


async def write_key(
    engine: AsyncEngine, vault: Vault, *, source: str = "shop", trust: Trust = BACKEND, intake: Intake | None = None
) -> Created:
    async with engine.begin() as connection:
        created = await create_write_key(connection, vault, source=source, trust=trust)
        if intake is not None:
            changed = update(sources).where(sources.c.name == source)
            await connection.execute(changed.values(intake=msgspec.to_builtins(intake)))
        return created


async def appended_records(settings: Settings, engine: AsyncEngine, vault: Vault) -> list[Record]:
    """Everything on the stream, by partition and position."""

    async def from_the_start(partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    async def let_go(partitions: Sequence[Partition]) -> None:
        return None

    async with open_stream(settings, engine, vault) as stream:
        missing = sum((await stream.ends(INTERACTIONS)).values())
        reader = await stream.reader(INTERACTIONS, group="tests", assigned=from_the_start, revoked=let_go)
        found: list[tuple[int, Record]] = []
        while len(found) < missing:
            for part in await reader.read(max_records=1_000, max_wait_ms=1_000):
                found += [(part.partition.index, record) for record in part.records]
        await reader.close()
    found.sort(key=lambda one: (one[0], one[1].position))
    return [record for _, record in found]


async def appended(settings: Settings, engine: AsyncEngine, vault: Vault) -> list[Interaction]:
    return [decode(record.value) for record in await appended_records(settings, engine, vault)]
