"""A PostgreSQL for the tests, and a fresh migrated database of it for each that asks."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.embedded import embedded_postgres
from tierwise.db.engine import driver_connection, engine_of
from tierwise.db.migrate import migrate
from tierwise.settings import Settings

SECRET_KEY = "the-secret-key-of-the-tests-is-no-secret"
_FAST: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
_TEMPLATE = "migrated"
_ROLES = Path(__file__).parents[2] / "deploy" / "postgresql" / "roles.sql"


@dataclass(frozen=True)
class TestServer:
    """`dsn`: of its database `tierwise`, which stays empty. `administration`: an engine that makes databases."""

    __test__ = False

    dsn: str
    administration: AsyncEngine

    @asynccontextmanager
    async def database(self, *, template: str | None = _TEMPLATE) -> AsyncIterator[str]:
        """The DSN of a fresh database, dropped afterwards. `template` None: an empty one."""
        name = f"test_{secrets.token_hex(6)}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        try:
            yield self.dsn_of(name)
        finally:
            await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def dsn_of(self, name: str) -> str:
        return self.dsn.replace("/tierwise?", f"/{name}?")

    async def _run(self, statement: str) -> None:
        async with self.administration.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(statement))


@asynccontextmanager
async def test_server(directory: Path) -> AsyncIterator[TestServer]:
    async with embedded_postgres(directory, options=_FAST) as dsn:
        administration = engine_of(dsn, pool_size=2)
        server = TestServer(dsn, administration)
        try:
            await server._run(f"CREATE DATABASE {_TEMPLATE}")
            engine = engine_of(server.dsn_of(_TEMPLATE))
            async with engine.begin() as connection:
                await (await driver_connection(connection)).execute(_ROLES.read_text())
            await migrate(test_settings(database_url=server.dsn_of(_TEMPLATE), data_dir=directory), engine)
            await engine.dispose()
            yield server
        finally:
            await administration.dispose()


def test_settings(*, database_url: str | None, data_dir: Path) -> Settings:
    """Settings that the environment and a `.env` of the developer don't reach."""
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=SecretStr(database_url) if database_url else None,
        data_dir=data_dir,
        secret_key=(SecretStr(SECRET_KEY),),
        stream_partitions=4,
    )


test_server.__test__ = False  # type: ignore[attr-defined]
test_settings.__test__ = False  # type: ignore[attr-defined]
