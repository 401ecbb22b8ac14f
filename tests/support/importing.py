"""A file of orders put through a deployment, a worker dying meanwhile."""

import asyncio
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.orders import Orders
from tests.support.services import Deployment, until
from tierwise.db.tables import interactions

IMPORT = ("--source", "cdnow", "--mapping", "cdnow", "--wait")
MIDDLE_WITHIN_S = 60.0


async def import_while_a_worker_dies(
    deployment: Deployment, engine: AsyncEngine, orders: Orders, **settings: Any
) -> None:
    """By three workers, one of them killed with -9 when some but not all is scored; it stays away."""
    dying, *_ = await deployment.scoring(3, **settings)
    file = orders.write(deployment.directory / "orders.txt")
    importing = asyncio.create_task(deployment.succeed("import", str(file), *IMPORT))
    scored = select(func.count()).select_from(interactions)

    async def some() -> bool:
        return await counted(engine, scored) > len(orders.lines) // 5

    await until(some, within_s=MIDDLE_WITHIN_S, every_s=0.005, told=deployment.said)
    await dying.kill()
    assert await counted(engine, scored) < len(orders.lines)
    await importing


async def counted(engine: AsyncEngine, statement: Select[int]) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(statement)).scalar_one()
