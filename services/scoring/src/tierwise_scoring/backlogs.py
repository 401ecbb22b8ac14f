"""What waits in the database, as gauges: customers to review, changes and dead letters to publish, dead letters to
look at. Every worker tells the same, so take the greatest."""

import asyncio
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise_scoring.metrics import BacklogMetrics

log = structlog.get_logger()

COUNTED_MAX: Final = 100_000
"""More than so many are not counted: it would take longer than it is worth."""

_EVERY_S: Final = 10.0

_REVIEWS: Final = f"""
SELECT (SELECT count(*) FROM (SELECT FROM reviews WHERE due <= now() LIMIT {COUNTED_MAX}) AS due),
       coalesce((SELECT extract(epoch FROM now() - min(due)) FROM reviews WHERE due <= now()), 0)::float8
"""

_OPEN_DEAD_LETTERS: Final = f"""
SELECT count(*) FROM (SELECT FROM dead_letters WHERE replayed_at IS NULL LIMIT {COUNTED_MAX}) AS open
"""


def _unpublished(outbox: str, recorded: str, shard_is: str) -> str:
    """Rows behind the cursors of a relay, and how long the first of them has waited, in seconds."""
    left = f"""FROM {outbox} AS held WHERE {shard_is} AND xid >= cursor.window_from
                   AND (xid >= cursor.window_to OR id > cursor.last_id)"""
    return f"""
        SELECT coalesce(sum(found.count), 0)::bigint,
               coalesce(max(extract(epoch FROM now() - first.recorded)), 0)::float8
        FROM relay_cursors AS cursor
        CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT {left} LIMIT {COUNTED_MAX}) AS left_over) AS found
        LEFT JOIN LATERAL (SELECT held.{recorded} AS recorded {left} ORDER BY xid, id LIMIT 1) AS first ON true
        WHERE outbox = '{outbox}'
    """


_UNPUBLISHED: Final = {
    "changes": _unpublished("changes", "recorded_at", "held.shard = cursor.shard"),
    "dead_letters": _unpublished("dead_letters", "created_at", "cursor.shard = 0"),
}


async def tell_backlogs(engine: AsyncEngine, metrics: BacklogMetrics) -> None:
    """Until cancelled; goes on after outages of the database."""
    while True:
        try:
            async with engine.connect() as connection:
                await look(connection, metrics)
        except DATABASE_ERRORS as error:
            if not is_transient(error):
                raise
            log.warning("backlogs_unknown", reason=type(error).__name__)
        await asyncio.sleep(_EVERY_S)


async def look(connection: AsyncConnection, metrics: BacklogMetrics) -> None:
    """Once."""
    raw = await driver_connection(connection)
    due, overdue_s = await raw.fetchrow(_REVIEWS)
    metrics.reviews.set(due)
    metrics.reviews_seconds.set(overdue_s)
    metrics.dead_letters.set(await raw.fetchval(_OPEN_DEAD_LETTERS))
    for outbox, query in _UNPUBLISHED.items():
        rows, waiting_s = await raw.fetchrow(query)
        metrics.unpublished.labels(outbox).set(rows)
        metrics.unpublished_seconds.labels(outbox).set(max(0.0, waiting_s))
