"""Scoring in a test: append, let a worker catch up, look at the result."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import customers, identifiers, stream_positions
from tierwise.domain.interaction import Interaction, encode, strongest
from tierwise.domain.view import StoredCustomer, current_view
from tierwise.security.personal import Vault
from tierwise.security.values import open_values
from tierwise.settings import Settings
from tierwise.stream.port import Outgoing, Stream
from tierwise.stream.topics import INTERACTIONS
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.worker import Worker

PATIENCE_S = 30


async def append(stream: Stream, vault: Vault, interactions: Sequence[Interaction]) -> None:
    """Onto the stream, as ingest does it."""
    await stream.append(
        INTERACTIONS,
        [Outgoing(key=vault.identifier_hash(*strongest(one.identifiers)), value=encode(one)) for one in interactions],
    )


def worker(engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings) -> Worker:
    return Worker(engine, stream, vault, settings, ScoringMetrics(CollectorRegistry()))


async def score(
    engine: AsyncEngine,
    stream: Stream,
    vault: Vault,
    settings: Settings,
    *,
    workers: int = 1,
    within_s: float = PATIENCE_S,
) -> None:
    """Run workers until everything appended is scored."""
    members = [worker(engine, stream, vault, settings) for _ in range(workers)]
    running = [asyncio.create_task(member.run()) for member in members]
    caught_up = asyncio.create_task(scored(engine, stream))
    try:
        async with asyncio.timeout(within_s):
            await asyncio.wait([caught_up, *running], return_when=asyncio.FIRST_COMPLETED)
    finally:
        caught_up.cancel()
        for member in members:
            member.stop()
        await asyncio.gather(*running)


@asynccontextmanager
async def keeping_up(
    engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, *, workers: int = 1
) -> AsyncIterator[None]:
    """Workers that run meanwhile: `scored` says when they have caught up."""
    members = [worker(engine, stream, vault, settings) for _ in range(workers)]
    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(member.run())
        yield
        for member in members:
            member.stop()


async def scored(engine: AsyncEngine, stream: Stream) -> None:
    """Returns when the stored positions are the ends of the stream."""
    while True:
        ends = {partition.index: end for partition, end in (await stream.ends(INTERACTIONS)).items() if end}
        async with engine.connect() as connection:
            rows = await connection.execute(select(stream_positions.c.partition, stream_positions.c.position))
        positions = {index: position for index, position in rows if position}
        if ends == positions:
            return
        await asyncio.sleep(0.02)


async def view_by(engine: AsyncEngine, vault: Vault, kind: str, value: str) -> dict[str, Any]:
    """The current view, unmasked, by identifier."""
    table = customers.c
    columns = [getattr(table, name) for name in StoredCustomer.__struct_fields__]
    async with engine.connect() as connection:
        holder = select(identifiers.c.customer_id).where(identifiers.c.hash == vault.identifier_hash(kind, value))
        row = (await connection.execute(select(*columns).where(table.id == holder.scalar_subquery()))).one()
        held = await connection.execute(
            select(identifiers.c.kind, identifiers.c.ciphertext).where(identifiers.c.customer_id == row.id)
        )
        stored = StoredCustomer(**row._mapping)
        rulebook = await Rulebooks().get(connection, stored.rulebook_id, stored.cuts)
    return current_view(
        stored,
        identifiers=sorted((kind, vault.open(text, context=kind.encode()).decode()) for kind, text in held),
        rulebook=rulebook,
        open_attributes=lambda values: open_values(dict(values), vault, masked=False),
    )


async def views(engine: AsyncEngine, vault: Vault) -> list[dict[str, Any]]:
    """Everyone, without what two runs over the same interactions need not agree on."""
    async with engine.connect() as connection:
        held = await connection.execute(select(identifiers.c.kind, identifiers.c.ciphertext, identifiers.c.customer_id))
        first = {customer: (kind, vault.open(text, context=kind.encode()).decode()) for kind, text, customer in held}
    exempt = {"customer_id", "version", "classified_at"}
    found = [await view_by(engine, vault, *identifier) for identifier in first.values()]
    for view in found:
        view["lifecycle"].pop("since")
    return sorted(
        ({name: value for name, value in view.items() if name not in exempt} for view in found), key=msgspec.json.encode
    )
