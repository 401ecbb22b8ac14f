"""What requests are answered from."""

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
from tierwise_profile_api.reads import Reads, database_needed

CONNECTIONS: Final = 10
OTHER_CONNECTIONS: Final = 3  # keys, rulebooks, readiness


@dataclass(frozen=True, slots=True)
class Backend:
    engine: AsyncEngine
    reads: Reads
    vault: Vault
    keys: KeyRing
    rulebooks: Rulebooks = field(default_factory=Rulebooks)
    _loaded: dict[int, Rulebook] = field(default_factory=dict)

    async def rulebook(self, number: int) -> Rulebook:
        """The rulebook that a row names; without a connection from the second time on. Raises Unavailable."""
        if (known := self._loaded.get(number)) is not None:
            return known
        with database_needed():
            async with self.engine.connect() as connection:
                self._loaded[number] = await self.rulebooks.get(connection, number)
        return self._loaded[number]

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
        try:
            yield Backend(engine, reads, vault, KeyRing(engine, vault))
        finally:
            await reads.close()


def backend_of(request: Request) -> Backend:
    """Raises Unavailable while the database is away."""
    opening: Opening[Backend] = request.app.state.opening
    return opening.value
