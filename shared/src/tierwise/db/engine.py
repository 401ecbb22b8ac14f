"""Connections to PostgreSQL.

uuid columns are 16 raw bytes in both directions (`Hash128` in the tables), without UUID objects in between.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tierwise.db.embedded import embedded_postgres
from tierwise.settings import Settings

_SERVER_SETTINGS = {
    "application_name": "tierwise",
    "timezone": "UTC",
    "jit": "off",  # compiling costs more than our statements take
    "synchronous_commit": "on",
    # A machine that vanishes leaves its sessions, and their locks, to the server: for 11 s, not for two hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_CONNECT_TIMEOUT_S = 10.0
_SOCKET = "its socket"

DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""Everything that using an engine may raise; `is_transient` tells which of them pass."""

# Class 08 connection, 40 rollback (deadlock, serialization), 53 resources (disk, memory, connections),
# 57P shutdown; a lock that was not to be had in time; a transaction that hung; a former primary that only reads.
_TRANSIENT_CLASSES = ("08", "40", "53", "57P")
_TRANSIENT_STATES = ("55P03", "25P03", "25006")
_REFUSED_CLASSES = ("28", "3D", "42")  # of a connection: user, password, database, privilege


class DatabaseUnreachable(ConnectionError):  # noqa: N818
    """No connection can be had; the message names the server and why."""


@asynccontextmanager
async def open_engine(
    settings: Settings, *, pool_size: int = 5, hangs_after_s: int | None = None
) -> AsyncIterator[AsyncEngine]:
    """An engine on the configured database, or on the embedded one, which runs as long as any engine is open.

    Nothing is connected yet where the database is configured. Connections that die (server restarted, network
    gone) are replaced. Raises EmbeddedDatabaseError; connecting raises DatabaseUnreachable.
    """
    async with open_server(settings) as dsn:
        engine = engine_of(dsn, pool_size=pool_size, hangs_after_s=hangs_after_s)
        try:
            yield engine
        finally:
            await engine.dispose()


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[str]:
    """The DSN, with the password, of the configured database, or of the embedded one, which runs meanwhile. Raises
    EmbeddedDatabaseError."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value().replace("+asyncpg://", "://", 1)
        return
    async with embedded_postgres(settings.data_dir) as dsn:
        yield dsn


def engine_of(dsn: str, *, pool_size: int = 5, hangs_after_s: int | None = None) -> AsyncEngine:
    """An engine on the server that `dsn` names (postgresql://, with what asyncpg understands, sslmode too).

    `hangs_after_s`: a transaction of which the server hears nothing for so long is ended, with what it locked.
    """
    settings = dict(_SERVER_SETTINGS)
    if hangs_after_s is not None:
        settings["idle_in_transaction_session_timeout"] = f"{hangs_after_s}s"

    async def connect() -> asyncpg.Connection:
        return await _connect(dsn, settings)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, pool_size=pool_size, max_overflow=0, pool_timeout=30
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


async def driver_connection(connection: AsyncConnection) -> asyncpg.Connection:
    """The asyncpg connection below, for COPY, arrays and prepared statements.

    Inside `engine.begin()` it is in that transaction: SQLAlchemy opens it with the first statement of its own,
    so one is sent where there was none.
    """
    raw: asyncpg.Connection = (await connection.get_raw_connection()).driver_connection
    if connection.in_transaction() and not raw.is_in_transaction():
        await connection.exec_driver_sql("SELECT")
    return raw


@asynccontextmanager
async def ended_when_hanging(tx: asyncpg.Connection, after_s: int) -> AsyncIterator[None]:
    """A session that holds a lock for as long as it leads: when the server hears nothing of it for `after_s`, it is
    ended, and another may lead."""
    await tx.execute(f"SET idle_session_timeout = '{after_s}s'")
    try:
        yield
    finally:
        if not tx.is_closed():
            await tx.execute("RESET idle_session_timeout")


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection that only reads, and sees one state of the database, that of its first statement."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async with connection.begin():
            yield connection


def is_transient(error: BaseException) -> bool:
    """Whether repeating later may succeed: connection lost or refused, server stopping, starting or out of
    resources, deadlock, serialization failure, lock timeout. A wrong statement, value or password is not."""
    if isinstance(error, DatabaseUnreachable):
        refusal = error.__cause__
        if isinstance(refusal, asyncpg.PostgresError):
            return not (refusal.sqlstate or "").startswith(_REFUSED_CLASSES)
        return isinstance(refusal, OSError) or (refusal is not None and is_transient(refusal))
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return error.connection_invalidated or (cause is not None and is_transient(cause))
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)  # its other uses are mistakes of ours
    if isinstance(error, asyncpg.InternalClientError):
        return True  # the server said goodbye, and the end of the connection was not noticed yet
    if isinstance(error, OSError):
        return error.filename is None  # with a name it is about a file, not about a connection
    return isinstance(error, PoolTimeoutError)


async def _connect(dsn: str, settings: Mapping[str, str]) -> asyncpg.Connection:
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S, server_settings=dict(settings))
        await connection.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        where = urlsplit(dsn)
        server = f"{where.hostname}:{where.port or 5432}" if where.hostname else _SOCKET
        raise DatabaseUnreachable(f"PostgreSQL at {server} cannot be reached: {_reason(error, server)}") from error
    return connection


def _reason(error: Exception, server: str) -> str:
    """And what to look at, where it is not the network."""
    said = str(error) or type(error).__name__
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}. See sslrootcert in TIERWISE_DATABASE_URL"
        case asyncpg.InvalidPasswordError():
            return f"{said}. See user and password in TIERWISE_DATABASE_URL"
        case asyncpg.InvalidAuthorizationSpecificationError():
            return f"{said}. See user and sslmode in TIERWISE_DATABASE_URL"
        case ssl.SSLError() | FileNotFoundError() | PermissionError() if server != _SOCKET:
            return f"{said}. See sslmode, sslrootcert, sslcert and sslkey in TIERWISE_DATABASE_URL"
    return said


def _refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    # The event loop has noticed the end of the connection: no need for a round trip before each use.
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection")
