"""Bringing a database to this version, and telling whether it is there."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db import stream_tables
from tierwise.db.embedded import embedded_postgres
from tierwise.db.engine import engine_of
from tierwise.db.roles import grant
from tierwise.db.rulebooks import seed
from tierwise.problem import Unavailable
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.topics import DEAD_LETTERS, INTERACTIONS, PUBLISHED

METADATA = stream_tables.stream_heads.metadata  # with all tables: importing stream_tables adds its own

_LOCK = 0x7469657277697365  # 'tierwise', of pg_advisory_xact_lock
_LOCK_TIMEOUT_MS = 10_000  # a waiting ALTER TABLE holds everyone behind it back

_CATALOG = """
    SELECT 'column ' || attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
           || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END || concat(' ', attidentity, attgenerated)
           || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    UNION SELECT 'constraint ' || conname || ' on ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION SELECT 'sequence ' || sequencename || ' ' || data_type || ' from ' || start_value || ' by ' || increment_by
      FROM pg_sequences WHERE schemaname = 'public'
    UNION SELECT 'storage of ' || c.oid::regclass || ': ' || concat(c.reloptions::text, t.reloptions::text)
      FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
     WHERE c.relnamespace = 'public'::regnamespace AND coalesce(c.reloptions, t.reloptions) IS NOT NULL
    UNION SELECT 'partitions of ' || partrelid::regclass || ' by ' || pg_get_partkeydef(partrelid)
      FROM pg_partitioned_table
    UNION SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
# Alembic's own comparison leaves out checks, sequences, functions and storage parameters, and takes rewritten defaults
# for new.


async def migrate(settings: Settings, engine: AsyncEngine) -> None:
    """Everything that a deployment needs before its services start; safe to repeat, and to run twice at once.

    Raises DatabaseUnreachable, StreamUnavailable, VaultError (the secret key is missing or wrong), RulebookError.
    """
    await upgrade(engine)
    vault = await open_vault(engine, settings)
    async with engine.begin() as connection:
        await _alone(connection)
        await seed(connection, settings)
        await grant(connection)
    topics = dict.fromkeys((INTERACTIONS, *PUBLISHED), settings.stream_partitions) | {DEAD_LETTERS: 1}
    async with open_stream(settings, engine, vault) as stream:
        await stream.create_topics(topics)


async def upgrade(engine: AsyncEngine) -> None:
    """Run the missing migrations, all in one transaction. Several at once wait for each other. A database of a newer
    version that still serves this one stays as it is; raises Unavailable where it does not."""
    async with engine.begin() as connection:
        await _alone(connection)
        if await _serves_older(connection):
            return
        await connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}"))
        await connection.run_sync(_upgrade)


async def check(engine: AsyncEngine) -> None:
    """For readiness. Raises Unavailable unless the database is at this version, or at a newer one that still serves
    this one."""
    async with engine.connect() as connection:
        found = await _revision(connection)
        if found == head() or await _serves_older(connection):
            return
    raise Unavailable(
        f"the database is at {found or 'nothing yet'}, this version needs {head()}: run `tierwise migrate`",
        retry_after_s=5,
    )


async def revision(engine: AsyncEngine) -> str | None:
    """Where the database is; None where nothing was ever migrated."""
    async with engine.connect() as connection:
        return await _revision(connection)


def known(revision: str) -> bool:
    """Whether this version has this migration: one that it does not know is a newer version's."""
    return revision in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


@cache
def head() -> str:
    """The newest migration of this version."""
    return cast(str, ScriptDirectory.from_config(_config()).get_current_head())


async def differences() -> list[str]:
    """How the migrations, run on an empty database of its own, differ from the tables as declared."""
    with _passing_directory() as directory:
        async with embedded_postgres(directory, options={"fsync": "off"}) as dsn:
            declared_dsn = dsn.replace("/tierwise?", "/declared?")
            migrated, declared = engine_of(dsn), engine_of(declared_dsn)
            try:
                async with migrated.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    await connection.execute(text("CREATE DATABASE declared"))
                async with declared.begin() as connection:
                    await connection.run_sync(METADATA.create_all)
                await upgrade(migrated)
                in_migrations, in_tables = await _catalog(migrated), await _catalog(declared)
            finally:
                await migrated.dispose()
                await declared.dispose()
    extra = (line for line in in_migrations - in_tables if "alembic_version" not in line)
    return [f"only in the migrations: {line}" for line in sorted(extra)] + [
        f"only in the tables: {line}" for line in sorted(in_tables - in_migrations)
    ]


async def _revision(connection: AsyncConnection) -> str | None:
    return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def _serves_older(connection: AsyncConnection) -> bool:
    """Whether a newer version made the database what it is, and left it so that this one runs on it. Raises
    Unavailable where it did not."""
    found = await _revision(connection)
    if found is None or known(found):
        return False
    oldest = await connection.scalar(text("SELECT obj_description('alembic_version'::regclass)"))
    if oldest is None or oldest > head():
        raise Unavailable(
            f"the database is at {found}, of a newer version, on which this one ({head()}) does not run: run the newer "
            "one, or restore a backup",
            retry_after_s=5,
        )
    return True


async def _catalog(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set((await connection.scalars(text(_CATALOG))).all())


async def _alone(connection: AsyncConnection) -> None:
    """Until the end of the transaction."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _passing_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tierwise-check-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o711)  # where we are root the server runs as another user
        yield directory


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
