"""Reading: a few connections that can do nothing else, each statement a short read of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.problem import Unavailable

log = structlog.get_logger("tierwise.reads")

STATEMENT_TIMEOUT_MS: Final = 5_000
WAIT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 5.0
FRESH_TRIES: Final = 3
"""The engine's own idle connections may be dead too."""

T = TypeVar("T")
Row = Any
"""asyncpg.Record: values by name and by place."""


def _is_lost(error: BaseException) -> bool:
    # InternalClientError: the server's farewell was read, the end of the connection is yet to come.
    return isinstance(error, asyncpg.InternalClientError) or is_transient(error)


class _Held(NamedTuple):
    connection: AsyncConnection
    driver: Any
    prepared: bool


@contextmanager
def database_needed() -> Iterator[None]:
    """A database that is away, starting, stopping or too slow is told as Unavailable."""
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise Unavailable("The database took too long; ask for less.", retry_after_s=5) from error
    except DATABASE_ERRORS as error:
        if not _is_lost(error):
            raise
        log.warning("database_away", error=type(error).__name__)
        raise Unavailable("The database is away.") from error


class Reads:
    """At most `size` connections of `engine`, kept open and used through asyncpg itself, without transactions
    and without a ping before each use: a connection found dead is replaced and the read done again."""

    def __init__(self, engine: AsyncEngine, *, size: int) -> None:
        self._engine = engine
        self._size = size
        self._idle: list[_Held] = []
        self._slots = asyncio.Semaphore(size)

    async def rows(self, statement: str, *arguments: object) -> list[Row]:
        """Raises Unavailable: the database is away, too slow, or all connections are busy for too long."""
        return await self._read(lambda connection: connection.fetch(statement, *arguments))

    async def row(self, statement: str, *arguments: object) -> Row | None:
        """The first row. Raises as `rows`."""
        return await self._read(lambda connection: connection.fetchrow(statement, *arguments))

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().connection.close()

    async def _read(self, read: Callable[[Any], Awaitable[T]]) -> T:
        if self._slots.locked():
            await self._wait()
        else:
            await self._slots.acquire()  # at once
        try:
            with database_needed():
                return await self._on_a_connection(read)
        finally:
            self._slots.release()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable("All database connections are busy.") from error

    async def _on_a_connection(self, read: Callable[[Any], Awaitable[T]]) -> T:
        for _ in range(self._size + FRESH_TRIES):
            held = self._idle.pop() if self._idle else await self._connected()
            try:
                return await self._use(held, read)
            except DATABASE_ERRORS as error:
                if not _is_lost(error):
                    raise
        raise Unavailable("The database closes every connection.")

    async def _use(self, held: _Held, read: Callable[[Any], Awaitable[T]]) -> T:
        usable = False
        try:
            if not held.prepared:
                await held.driver.execute(_READ_ONLY)
            result = await read(held.driver)
            usable = True
            return result
        except asyncpg.QueryCanceledError:
            usable = True
            raise
        finally:
            if usable:
                self._idle.append(held._replace(prepared=True))
            else:
                await _discard(held)

    async def _connected(self) -> _Held:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._engine.connect()
        except TimeoutError as error:
            raise Unavailable("The database does not answer.") from error
        return _Held(connection, await driver_connection(connection), prepared=False)


_READ_ONLY: Final = f"SET default_transaction_read_only = on; SET statement_timeout = {STATEMENT_TIMEOUT_MS}"


async def _discard(held: _Held) -> None:
    # At once: SQLAlchemy would take leave of the server first, for up to 2 s of its silence.
    held.driver.terminate()
    await held.connection.invalidate()
    await held.connection.close()
