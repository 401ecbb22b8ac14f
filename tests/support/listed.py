"""What lists, counts and statistics find of customers, in words."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.db.tables import customer_facets
from tierwise_scoring.facets import read_facets


async def listed(engine: AsyncEngine) -> dict[int, dict[str, Any]]:
    """By customer the columns of `customer_facets`."""
    async with engine.connect() as connection:
        ids = (await connection.execute(select(customer_facets.c.customer_id))).scalars().all()
        return await read_facets(await driver_connection(connection), ids)
