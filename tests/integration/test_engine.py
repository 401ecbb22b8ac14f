"""Connections: raw bytes in uuid columns, one transaction for both layers, recovery without a hand."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import func, insert, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer, test_settings
from tierwise.db.engine import (
    DatabaseUnreachable,
    driver_connection,
    ended_when_hanging,
    engine_of,
    is_transient,
    open_engine,
)
from tierwise.db.tables import Hash128, Xid8, identifiers, interactions, keyring
from tierwise.settings import Settings

HASH = bytes(range(16))


async def test_a_uuid_column_gives_the_bytes_that_it_was_given_in_both_layers(engine: AsyncEngine) -> None:
    row = {"hash": HASH, "customer_id": 1, "kind": "email", "ciphertext": b""}
    async with engine.begin() as connection:
        await connection.execute(insert(identifiers).values(row))
        assert await connection.scalar(select(identifiers.c.hash).where(identifiers.c.hash.in_([HASH]))) == HASH
        raw = await driver_connection(connection)
        query = "SELECT array_agg(hash) FROM identifiers WHERE hash = ANY($1::uuid[])"
        assert await raw.fetchval(query, [HASH, bytes(16)]) == [HASH]
        await raw.copy_records_to_table(
            "identifiers", records=[(bytes(16), 2, "email", b"")], columns=["hash", "customer_id", "kind", "ciphertext"]
        )
        assert await raw.fetchval("SELECT count(*) FROM identifiers") == 2


async def test_arrays_of_hashes_go_through_core(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        query = select(literal([HASH, bytes(16)], interactions.c.identifiers.type))
        assert await connection.scalar(query) == [HASH, bytes(16)]
        assert isinstance(await connection.scalar(select(func.pg_current_xact_id(type_=Xid8()))), int)
        assert isinstance(await connection.scalar(select(func.gen_random_uuid(type_=Hash128()))), bytes)


async def test_what_the_driver_writes_inside_begin_is_rolled_back_with_it(engine: AsyncEngine) -> None:
    async def fail() -> None:
        async with engine.begin() as connection:
            raw = await driver_connection(connection)
            await raw.execute("INSERT INTO keyring (purpose, wrapped) VALUES ('test', '')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).where(keyring.c.purpose == "test")) == 0


async def test_what_the_driver_writes_inside_begin_is_committed_with_it(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        raw = await driver_connection(connection)
        await raw.execute("INSERT INTO keyring (purpose, wrapped) VALUES ('test', '')")
        assert raw.is_in_transaction()
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).where(keyring.c.purpose == "test")) == 1


async def test_connections_that_the_server_ended_are_replaced(engine: AsyncEngine, postgres: TestServer) -> None:
    connections = [await engine.connect() for _ in range(3)]
    for connection in connections:
        await connection.execute(text("SELECT 1"))
        await connection.close()
    async with postgres.administration.connect() as connection:
        await connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test\\_%'")
        )
    await asyncio.sleep(0.1)
    for _ in range(3):
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1


async def test_a_connection_lost_in_use_is_a_transient_failure(engine: AsyncEngine, postgres: TestServer) -> None:
    async with engine.connect() as connection:
        raw = await driver_connection(connection)
        pid = await raw.fetchval("SELECT pg_backend_pid()")
        sleeping = asyncio.create_task(raw.fetch("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.1)
        async with postgres.administration.connect() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(asyncpg.PostgresError) as caught:
            await sleeping
        assert is_transient(caught.value)
        with pytest.raises(asyncpg.InterfaceError) as caught_again:
            await raw.fetch("SELECT 1")
        assert is_transient(caught_again.value)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("statement", "transient"),
    [
        ("SELECT nonsense", False),
        ("SELECT 1/0", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", True),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", True),
        ("DO $$ BEGIN RAISE SQLSTATE '57P01'; END $$", True),
        ("DO $$ BEGIN RAISE SQLSTATE '55P03'; END $$", True),
    ],
)
async def test_only_failures_that_pass_are_transient(engine: AsyncEngine, statement: str, *, transient: bool) -> None:
    async with engine.connect() as connection:
        with pytest.raises(Exception, match=r".") as caught:
            await connection.execute(text(statement))
        assert is_transient(caught.value) is transient


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    engine = engine_of("postgresql://someone:geheim@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnreachable, match=r"127\.0\.0\.1:1") as caught:
        async with engine.connect():
            pass
    assert is_transient(caught.value)
    assert "geheim" not in f"{caught.value} {caught.value.__cause__} {engine.url}"


async def test_a_socket_that_is_not_there_yet_is_a_transient_failure(tmp_path: Path) -> None:
    engine = engine_of(f"postgresql://tierwise@/tierwise?host={tmp_path}")
    with pytest.raises(DatabaseUnreachable) as caught:
        async with engine.connect():
            pass
    assert is_transient(caught.value)


def test_a_missing_file_is_not_a_transient_failure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "rulebook.yaml").read_text()
    assert not is_transient(caught.value)


async def test_a_refused_user_is_not_a_transient_failure(database: str) -> None:
    engine = engine_of(database.replace("//tierwise@", "//nobody@"))
    with pytest.raises(DatabaseUnreachable, match="nobody") as caught:
        async with engine.connect():
            pass
    assert not is_transient(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_the_usual_forms_of_the_url_are_understood(database: str, tmp_path: Path, scheme: str) -> None:
    url = SecretStr(database.replace("postgresql://", f"{scheme}://") + "&sslmode=prefer")
    settings: Settings = test_settings(database_url=None, data_dir=tmp_path).model_copy(update={"database_url": url})
    async with open_engine(settings) as engine, engine.connect() as connection:
        assert await connection.scalar(text("SHOW jit")) == "off"
        assert await connection.scalar(text("SHOW TimeZone")) == "UTC"
        assert await connection.scalar(text("SHOW application_name")) == "tierwise"


async def test_a_transaction_that_hangs_is_ended_with_its_locks_and_is_a_transient_failure(database: str) -> None:
    engine = engine_of(database, hangs_after_s=1)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE held (id int)"))

    async def hanging() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE held"))
            await asyncio.sleep(1.5)
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DBAPIError) as lost:
        await hanging()
    assert is_transient(lost.value)
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE held NOWAIT"))
    await engine.dispose()


async def test_a_session_that_leads_and_hangs_is_ended_with_its_locks(database: str) -> None:
    engine = engine_of(database)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        tx = await driver_connection(connection)

        async def hanging() -> None:
            async with ended_when_hanging(tx, 1):
                await tx.execute("SELECT pg_advisory_lock(7)")
                await asyncio.sleep(1.5)
                await tx.execute("SELECT 1")

        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as lost:
            await hanging()
        assert is_transient(lost.value)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT pg_try_advisory_lock(7)"))).scalar_one()
    await engine.dispose()
