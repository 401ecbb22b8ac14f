"""Migrations bring any database to this version, and agree with the tables."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import engine_of
from tierwise.db.migrate import check, differences, head, revision, upgrade
from tierwise.db.rulebooks import seed
from tierwise.problem import Unavailable
from tierwise.settings import Settings


async def test_the_migrations_make_exactly_the_tables_as_declared() -> None:
    assert await differences() == []


async def test_migrations_run_by_two_at_once_both_succeed(empty_database: str) -> None:
    first, second = engine_of(empty_database), engine_of(empty_database)
    await asyncio.gather(upgrade(first), upgrade(second))
    assert await revision(first) == head()
    await first.dispose()
    await second.dispose()


async def test_a_database_that_was_never_migrated_is_not_ready_and_says_what_to_do(empty_database: str) -> None:
    engine = engine_of(empty_database)
    with pytest.raises(Unavailable, match="tierwise migrate"):
        await check(engine)
    await engine.dispose()


async def test_a_migrated_database_is_ready(engine: AsyncEngine) -> None:
    await check(engine)


async def test_an_empty_database_begins_with_the_ready_rulebook_that_is_named(
    empty_database: str, settings: Settings
) -> None:
    engine = engine_of(empty_database)
    await upgrade(engine)
    async with engine.begin() as connection:
        await seed(connection, settings.model_copy(update={"rulebook": Path("b2b")}))
        assert await connection.scalar(text("SELECT version FROM rulebooks")) == "b2b-1"
    await engine.dispose()


async def test_a_failing_migration_leaves_nothing_behind(empty_database: str) -> None:
    engine = engine_of(empty_database)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE keys (id int)"))  # stands in the way
    with pytest.raises(Exception, match="already exists"):
        await upgrade(engine)
    async with engine.connect() as connection:
        assert (await connection.scalar(text("SELECT to_regclass('customers')"))) is None
    await engine.dispose()
