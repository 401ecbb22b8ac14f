"""What requests are answered from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import open_engine
from tierwise.db.migrate import check
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain.rulebook import Rulebook
from tierwise.opening import Opening
from tierwise.problem import Unavailable
from tierwise.security.keys import KeyRing
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream
from tierwise_profile_api.kept_statistics import keep_counted
from tierwise_profile_api.oidc import Issuer
from tierwise_profile_api.rates import Rates
from tierwise_profile_api.reads import Reads, database_needed
from tierwise_profile_api.retention import forget
from tierwise_profile_api.snapshots import Snapshots
from tierwise_profile_api.views import Views

CONNECTIONS: Final = 10
OTHER_CONNECTIONS: Final = 7  # keys, rulebooks, audit, readiness, the live feed, the embedded stream
FOLDED_AT_ONCE: Final = 2  # histories: each holds some 50 MB at most, and a core


@dataclass(frozen=True, slots=True)
class Backend:
    engine: AsyncEngine
    reads: Reads
    vault: Vault
    keys: KeyRing
    stream: Stream
    issuer: Issuer | None = None
    rates: Rates = field(default_factory=Rates)
    views: Views = field(default_factory=Views)
    snapshots: Snapshots = field(default_factory=Snapshots)
    exporting: asyncio.Lock = field(default_factory=asyncio.Lock)
    rulebooks: Rulebooks = field(default_factory=Rulebooks)
    folding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FOLDED_AT_ONCE))

    async def rulebook(self, number: int, cuts: int | None = None) -> Rulebook:
        """The rulebook that a row names, and its cuts; without a connection from the second time on. Raises
        Unavailable."""
        if (known := self.rulebooks.loaded(number, cuts)) is not None:
            return known
        with database_needed():
            async with self.engine.connect() as connection:
                return await self.rulebooks.get(connection, number, cuts)

    async def rulebook_in_force(self) -> Rulebook:
        """Raises Unavailable."""
        newest = await self.reads.row("SELECT max(id) FROM rulebooks")
        if newest is None or newest[0] is None:
            raise Unavailable("The database has no rulebook yet: run `tierwise migrate`.", retry_after_s=5)
        return await self.rulebook(newest[0])


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Raises what `tierwise.opening.AWAY` lists, VaultError, EmbeddedDatabaseError."""
    async with open_engine(settings, pool_size=CONNECTIONS + OTHER_CONNECTIONS) as engine:
        await check(engine)
        vault = await open_vault(engine, settings)
        reads = Reads(engine, size=CONNECTIONS)
        stream = open_stream(settings, engine, vault)
        try:
            source = Backend(engine, reads, vault, KeyRing(engine, vault), stream, Issuer.of(settings))
            tasks = [
                asyncio.create_task(forget(engine, settings.audit_retention_days)),
                asyncio.create_task(keep_counted(reads, source.snapshots, source.rulebook_in_force)),
            ]
            try:
                yield source
            finally:
                for task in tasks:
                    task.cancel()
                await source.snapshots.close()
        finally:
            await stream.close()
            await reads.close()


def backend_of(request: Request) -> Backend:
    """Raises Unavailable while the database is away."""
    opening: Opening[Backend] = request.app.state.opening
    return opening.value
