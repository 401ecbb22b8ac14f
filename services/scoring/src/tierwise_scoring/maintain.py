"""Upkeep beside the work: the embedded stream is trimmed behind the stored positions, old keys are forgotten,
activity is added up."""

import asyncio
from typing import Final

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, is_transient
from tierwise.db.tables import interaction_keys, stream_positions
from tierwise.settings import Settings
from tierwise.stream.port import Stream, StreamUnavailable
from tierwise.stream.topics import DEAD_LETTERS, INTERACTIONS, PUBLISHED
from tierwise_scoring.activity import add_up_news

log = structlog.get_logger()

_EVERY_S: Final = 10.0
_SECONDS_PER_DAY: Final = 86_400


async def maintain(engine: AsyncEngine, stream: Stream, settings: Settings) -> None:
    """Until cancelled; goes on after outages. Several workers may do it at once."""
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            await trim_scored(engine, stream)
            await add_up_news(engine)
            await stream.expire([*PUBLISHED, DEAD_LETTERS])
            if settings.deduplication_horizon_days is not None:
                await forget_keys(engine, settings.deduplication_horizon_days)
        except StreamUnavailable as error:
            log.warning("upkeep_waits", reason=str(error))
        except DATABASE_ERRORS as error:
            if not is_transient(error):
                raise
            log.warning("upkeep_waits", reason=type(error).__name__)


async def trim_scored(engine: AsyncEngine, stream: Stream) -> None:
    """What is scored is in the database: the stream need not keep it."""
    here = {(partition.cluster, partition.topic_id) for partition in await stream.partitions(INTERACTIONS)}
    table = stream_positions.c
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(table.cluster, table.topic_id, table.partition, table.position).where(table.topic == INTERACTIONS)
        )
    scored = {index: position for cluster, topic_id, index, position in rows if (cluster, topic_id) in here}
    await stream.trim(INTERACTIONS, scored)


async def forget_keys(engine: AsyncEngine, horizon_days: int) -> None:
    """Interactions older than the horizon are rejected at ingest, so their keys are not needed any more. A day more
    is kept for what is still on the stream."""
    today = func.extract("epoch", func.now()) / _SECONDS_PER_DAY
    async with engine.begin() as connection:
        await connection.execute(delete(interaction_keys).where(interaction_keys.c.day < today - horizon_days - 1))
