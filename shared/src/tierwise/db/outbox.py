"""Reading what transactions have written, once no more can come.

Rows become visible in another order than their ids say, since a transaction that started earlier may commit later.
Whoever follows a table reads it by *windows* of transactions [start, end) where `end` was the oldest one still
running: all of them have ended, so their rows are all there and will never be more.
"""

from typing import Final

import asyncpg

CHANNEL: Final = "tierwise_outbox"
"""NOTIFY on this channel says that there are new rows in `changes` or `dead_letters`."""

SHARDS: Final = 4
"""Of customers: `changes` is published shard by shard."""

POLL_S: Final = 1.0
"""How often to look in any case: a notification may have gone to a connection that broke."""

POLL_RUNNING_S: Final = 0.02
"""How often to look while transactions are running whose end nobody may announce."""

STORED_CHANGE: Final = """
    held.customer_id, held.sequence, held.aspect, held."from" AS old, held."to" AS new, held.score, held.merged,
    held.at, held.recorded_at, held.rulebook_id, held.cuts, held.cause, held.interaction, sources.name AS source,
    held.reasons
"""
"""The fields of `tierwise.domain.change.StoredChange`, in their order, of `changes AS held LEFT JOIN sources`."""


async def oldest_running(raw: asyncpg.Connection) -> tuple[int, bool]:
    """The oldest transaction that has not ended (or the next one to come), and whether any is running."""
    row = await raw.fetchrow(
        """SELECT pg_snapshot_xmin(snapshot)::text, pg_snapshot_xmin(snapshot) < pg_snapshot_xmax(snapshot)
           FROM pg_current_snapshot() AS snapshot"""
    )
    return int(row[0]), row[1]
