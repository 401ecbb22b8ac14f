"""The table of interactions has a partition for each month, made when it is needed."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product, page_view
from tests.support.scoring import keeping_up, scored
from tierwise.db.engine import driver_connection
from tierwise.db.months import OLDEST, add_months, bounds_of, day_of, drop_month, stored_months

MARCH = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


async def months(engine: AsyncEngine) -> dict[str, int]:
    """How many interactions there are in each."""
    async with engine.connect() as connection:
        held = await connection.execute(text("SELECT tableoid::regclass::text, count(*) FROM interactions GROUP BY 1"))
        return {name.removeprefix("interactions_"): count for name, count in held}


async def test_interactions_lie_in_the_month_of_their_time_in_utc(product: Product) -> None:
    times = MARCH, MARCH + timedelta(seconds=1), MARCH.astimezone().replace(year=2025)
    await product.append(*(page_view(number, time=time) for number, time in enumerate(times)))
    await product.score(workers=2)
    assert await months(product.engine) == {"2026_03": 1, "2026_04": 1, "2025_03": 1}


async def test_what_is_dated_long_ago_shares_one_partition(product: Product) -> None:
    times = [datetime(year, 2, 3, tzinfo=UTC) for year in (1970, 1985, 1999)]
    await product.append(*(page_view(number, time=time) for number, time in enumerate(times)))
    await product.score()
    assert await months(product.engine) == {"1999_12": 3}
    async with product.engine.connect() as connection:
        assert await stored_months(await driver_connection(connection)) == [OLDEST]


async def test_a_month_is_made_while_others_read_and_by_two_at_once(engine: AsyncEngine) -> None:
    async def add() -> None:
        async with engine.begin() as connection:
            await add_months(await driver_connection(connection), [day_of(MARCH), day_of(MARCH) + 40])

    async with engine.begin() as reader:
        await reader.execute(text("SELECT count(*) FROM interactions"))
        async with asyncio.timeout(10):
            await asyncio.gather(add(), add())
            async with engine.connect() as connection:
                assert len(await stored_months(await driver_connection(connection))) == 2


async def test_each_month_has_the_indexes_of_the_table(product: Product) -> None:
    await product.append(page_view(1, time=MARCH))
    await product.score()
    async with product.engine.connect() as connection:
        query = "SELECT split_part(indexdef, ' USING ', 2) FROM pg_indexes WHERE tablename = :name ORDER BY 1"
        wanted = (await connection.scalars(text(query), {"name": "interactions"})).all()
        assert (await connection.scalars(text(query), {"name": "interactions_2026_03"})).all() == wanted
        assert len(wanted) == 3


async def test_a_month_is_dropped_only_when_it_is_empty(product: Product) -> None:
    await product.append(page_view(1, time=MARCH))
    await product.score()
    for dropped in (False, True):
        async with product.engine.begin() as connection:
            assert await drop_month(await driver_connection(connection), date(2026, 3, 1)) == dropped
            await connection.execute(text("DELETE FROM interactions"))
    assert await months(product.engine) == {}


async def test_who_drops_a_month_does_not_keep_others_waiting_for_a_reader(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await add_months(await driver_connection(connection), [day_of(MARCH)])
    async with engine.begin() as reader:
        await reader.execute(text("SELECT count(*) FROM interactions"))
        async with engine.begin() as connection:
            with pytest.raises(asyncpg.LockNotAvailableError):
                await drop_month(await driver_connection(connection), date(2026, 3, 1))


async def test_what_comes_for_a_month_that_was_just_dropped_makes_it_again(product: Product) -> None:
    async with keeping_up(product.engine, product.stream, product.vault, product.settings):
        await product.append(page_view(1, time=MARCH))
        await scored(product.engine, product.stream)
        async with product.engine.begin() as connection:
            await connection.execute(text("DELETE FROM interactions"))
            assert await drop_month(await driver_connection(connection), date(2026, 3, 1))
        await product.append(page_view(2, time=MARCH))
        await scored(product.engine, product.stream)
    assert await months(product.engine) == {"2026_03": 1}
    assert (await product.view("user_id", "u1"))["interactions"] == 2


async def test_scoring_makes_and_drops_months_although_it_owns_no_table(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL ROLE tierwise_scoring"))
        tx = await driver_connection(connection)
        await add_months(tx, [day_of(MARCH)])
        assert await stored_months(tx) == [date(2026, 3, 1)]
        assert await drop_month(tx, date(2026, 3, 1))
        assert await stored_months(tx) == []
        await connection.execute(text("SET LOCAL ROLE tierwise_ingest"))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await add_months(tx, [day_of(MARCH)])


def test_the_bounds_of_months_follow_on_each_other() -> None:
    assert bounds_of(date(2026, 12, 1))[1] == bounds_of(date(2027, 1, 1))[0] == datetime(2027, 1, 1, tzinfo=UTC)
    assert bounds_of(OLDEST)[0] < datetime(1970, 1, 1, tzinfo=UTC)
