"""What requests need: database for keys, vault and stream, opened in the background for as long as it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.opening import Opening
from tierwise.problem import Unavailable
from tierwise.security.keys import KeyRing
from tierwise.security.personal import open_vault
from tierwise.security.sources import Sources
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream
from tierwise_ingest.accept import Acceptor, Pending
from tierwise_ingest.checking import open_checking
from tierwise_ingest.formats.format import Checking
from tierwise_ingest.judge import Judge
from tierwise_ingest.metrics import IngestMetrics
from tierwise_ingest.rate import Rates


@dataclass(frozen=True, slots=True)
class Opened:
    keys: KeyRing
    sources: Sources
    checking: Checking
    judge: Judge
    stream: Stream
    acceptor: Acceptor
    content_key: bytes


class Backend:
    """`engine` and `opened` raise Unavailable while they are not there."""

    def __init__(self, settings: Settings, metrics: IngestMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._engine: AsyncEngine | None = None
        self._opening = Opening(self._open)

    def engine(self) -> AsyncEngine:
        if self._engine is None:
            raise Unavailable("The database is away.")
        return self._engine

    def opened(self) -> Opened:
        return self._opening.value

    def stream(self) -> Stream:
        return self.opened().stream

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises what repeating would not mend: VaultError, EmbeddedDatabaseError."""
        async with open_engine(self._settings) as self._engine:
            try:
                async with self._opening:
                    yield
            finally:
                self._engine = None

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Opened]:
        settings, engine = self._settings, self.engine()
        await migrate.check(engine)
        vault = await open_vault(engine, settings)
        async with open_stream(settings, engine, vault) as stream:
            pending = Pending(self._metrics, bytes_max=settings.ingest_pending_bytes_max)
            timeout_s = settings.ingest_append_timeout_s
            acceptor = Acceptor(stream, vault, self._metrics, pending, Rates(), timeout_s=timeout_s)
            async with open_checking() as checking:
                yield Opened(
                    KeyRing(engine, vault),
                    Sources(engine, vault),
                    checking,
                    Judge(self._metrics),
                    stream,
                    acceptor,
                    vault.key_hash("ids made from content"),
                )
