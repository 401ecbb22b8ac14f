"""A worker that hangs: stopped inside its transaction, taken for dead, and continued when another has its work."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product
from tests.support.sequential import until_scored
from tests.support.services import Deployment, Service, until
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import Vault
from tierwise.stream.open import open_stream

TAKEN_OVER_WITHIN_S = 40.0
"""A member is missed for 10 s, and its group takes as long again to divide anew."""


@asynccontextmanager
async def log_of(deployment: Deployment, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """To append to what its workers read."""
    async with open_stream(deployment.settings, engine, vault) as stream:
        yield Product(engine, stream, vault, deployment.settings)


async def hang_and_wake(
    deployment: Deployment, engine: AsyncEngine, vault: Vault, given: Sequence[Interaction], *, aged: bool = False
) -> Service:
    """The worker that hung, after everything was scored and it has partitions again. `aged`: the embedded stream's
    group misses it at once."""
    (hung,) = await deployment.scoring(1, scoring_batch_max=50)
    first, later = given[: len(given) // 2], given[len(given) // 2 :]
    async with log_of(deployment, engine, vault) as log:
        async with engine.connect() as holder:
            await holder.execute(text("LOCK TABLE interactions IN ACCESS EXCLUSIVE MODE"))
            await log.append(*first)
            await until(lambda: _waits_for_a_lock(engine), within_s=10, told=hung.said)
            os.kill(hung.pid, signal.SIGSTOP)
        try:
            if aged:
                await _age(engine)
            await deployment.start("scoring")
            await until_scored(deployment, engine, len(first), within_s=TAKEN_OVER_WITHIN_S)
        finally:
            os.kill(hung.pid, signal.SIGCONT)
        await log.append(*later)
        await until_scored(deployment, engine, len(given))
        await until(lambda: _has_rejoined(hung), within_s=TAKEN_OVER_WITHIN_S, told=deployment.said)
    return hung


async def _age(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE stream_members SET seen_at = now() - interval '1 minute'"))


async def _waits_for_a_lock(engine: AsyncEngine) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with engine.connect() as connection:
        return bool((await connection.execute(text(query))).scalar_one())


async def _has_rejoined(worker: Service) -> bool:
    """Whether it was given partitions again, after it had lost them."""
    _, lost, after = worker.said().partition("partitions_revoked")
    return bool(lost) and "partitions_assigned" in after
