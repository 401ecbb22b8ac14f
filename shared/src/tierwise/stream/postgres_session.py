"""Connections of the embedded stream to PostgreSQL, and its errors as the stream's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS
from tierwise.stream.port import StreamUnavailable

STATEMENT_TIMEOUT_S = 10.0


@contextmanager
def unavailable_unless(done: str) -> Iterator[None]:
    """Raises StreamUnavailable for the database's errors; `done` says what was being done."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise StreamUnavailable(f"{done}: {str(error) or type(error).__name__}") from error


async def open_connection(engine: AsyncEngine) -> asyncpg.Connection:
    """A connection that leaves the engine's pool for good: the caller closes it.

    One that is held for long must not count against the pool, whose other users would wait for it.
    """
    pooled = await engine.raw_connection()
    connection: asyncpg.Connection = pooled.driver_connection
    pooled.detach()
    return connection


class Session:
    """A connection of its own, made when it is needed, again after it broke; one statement at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock()
        self._connection: Any = None

    @asynccontextmanager
    async def use(self, doing: str, *, connect: bool = True) -> AsyncIterator[asyncpg.Connection]:
        """The connection, for a few statements. Raises StreamUnavailable, after which there is no connection.

        Without `connect` a broken connection is not replaced: its locks would be missing.
        """
        with unavailable_unless(doing):
            async with self._lock:
                try:
                    async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                        yield await self._connected(connect)
                except Exception:
                    self.drop()  # its state is unknown; of a cancelled statement asyncpg takes care
                    raise

    async def _connected(self, connect: bool) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            if not connect:
                raise ConnectionError("the connection is gone")
            self._connection = await open_connection(self._engine)
        return self._connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=STATEMENT_TIMEOUT_S)
            except DATABASE_ERRORS:
                connection.terminate()
