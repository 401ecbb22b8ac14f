"""The queue of a subscription: what its filters let through of `changes`, waiting in `deliveries` until it is sent.

Rows come into the queue in the transaction that moves the subscription's cursor, so each comes once. Windows of
transactions: see `tierwise.db.outbox`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import driver_connection
from tierwise.db.outbox import SHARDS, STORED_CHANGE, oldest_running
from tierwise.domain.change import StoredChange
from tierwise.webhooks.document import BULK_CAUSES
from tierwise.webhooks.registry import filters_of
from tierwise_scoring.webhooks.membership import IN_SEGMENTS

WAITING_MAX: Final = 2_000
"""Deliveries that wait in the queue; the changes after them wait where they are."""

PAGE: Final = 500

_SHARDS: Final = f"ARRAY[{', '.join(map(str, range(SHARDS)))}]::smallint[]"

# $1 to $6 are the filters, as `_filters` gives them.
_PASSES: Final = f"""
    NOT held.quiet
    AND ($1::text[] IS NULL OR held.aspect = ANY ($1) OR split_part(held.aspect, ':', 1) = ANY ($1))
    AND ($2::text[] IS NULL OR held."from" = ANY ($2))
    AND ($3::text[] IS NULL OR held."to" = ANY ($3))
    AND CASE WHEN $4::text[] IS NULL THEN held.cause <> ALL ($5::text[]) ELSE held.cause = ANY ($4) END
    AND ($6::text[] IS NULL OR {IN_SEGMENTS})
"""


def _page(within: str) -> str:
    """$1 to $6 as above, $7 the subscription, $8 the kind, $9 after this row, $10 how many; the rest is of `within`, a
    condition on changes as held. LATERAL by shard, so that each walks its own index from there."""
    return f"""
WITH found AS MATERIALIZED (
    SELECT found.* FROM unnest({_SHARDS}) AS one (shard) CROSS JOIN LATERAL (
        SELECT held.id, held.customer_id, held.sequence FROM changes AS held
        WHERE held.shard = one.shard AND held.id > $9 AND {within} AND {_PASSES}
        ORDER BY held.id LIMIT $10
    ) found
    ORDER BY found.id LIMIT $10
), added AS (
    INSERT INTO deliveries (subscription_id, kind, customer_id, sequence)
    SELECT $7, $8, customer_id, sequence FROM found ORDER BY id
)
SELECT count(*), max(id) FROM found
"""


_CHANGES: Final = _page("held.xid >= $11::text::xid8 AND held.xid < $12::text::xid8")
_AGAIN: Final = _page("held.id <= $11 AND held.recorded_at >= $12 AND held.recorded_at < $13")

# $1 and $2 the transactions [$1, $2).
_FIRST: Final = f"""
WITH found AS MATERIALIZED (
    SELECT id FROM changes WHERE shard = ANY ({_SHARDS}) AND xid >= $1::text::xid8 AND xid < $2::text::xid8
)
SELECT min(id) FROM found
"""

# $1 the subscription, $2 whether only tests, $3 how many. Of each customer the first that waits.
_HEADS: Final = f"""
SELECT head.id, head.kind, head.attempt, head.created_at, {STORED_CHANGE}
FROM (
    SELECT * FROM (
        SELECT DISTINCT ON (customer_id) id, kind, customer_id, sequence, attempt, created_at, due
        FROM deliveries WHERE subscription_id = $1 AND state = 'pending' AND (kind = 'test' OR NOT $2)
        ORDER BY customer_id, id
    ) first
    WHERE due <= now() ORDER BY due, id LIMIT $3
) head
LEFT JOIN changes AS held ON held.customer_id = head.customer_id AND held.sequence = head.sequence
LEFT JOIN sources ON sources.id = held.source_id
ORDER BY head.due, head.id
"""


class CursorTaken(Exception):  # noqa: N818
    """Another process serves this subscription too: its lock was lost here."""


class Head(NamedTuple):
    """A delivery that is to be attempted now. `attempt`: how many were made; `change`: None of a test."""

    id: int
    kind: str
    attempt: int
    created_at: datetime
    change: StoredChange | None


async def heads(connection: AsyncConnection, subscription_id: str, *, only_tests: bool, limit: int) -> list[Head]:
    """What is due: of each customer at most one, so that theirs come one after another."""
    raw = await driver_connection(connection)
    rows = await raw.fetch(_HEADS, subscription_id, only_tests, limit)
    return [_head(row) for row in rows]


def _head(row: asyncpg.Record) -> Head:
    change = None if row["sequence"] is None else StoredChange(*row[4:])  # selected in the order of its fields
    return Head(row["id"], row["kind"], row["attempt"], row["created_at"], change)


async def fill(connection: AsyncConnection, row: Row[Any]) -> bool:
    """Take what has come since into the queue, as far as there is room. `row`: of the subscription. Returns whether
    there is more. Raises CursorTaken."""
    raw = await driver_connection(connection)
    waiting = await raw.fetchval(
        """SELECT count(*) FROM (
               SELECT FROM deliveries WHERE subscription_id = $1 AND state = 'pending' LIMIT $2) AS waiting""",
        row.id,
        WAITING_MAX,
    )
    if waiting >= WAITING_MAX:
        return False
    filled = await _fill_again(raw, row)
    return await _fill_changes(raw, row) or filled


async def _fill_changes(raw: asyncpg.Connection, row: Row[Any]) -> bool:
    expected = start, end, last_id = int(row.window_from), int(row.window_to), row.last_id
    if start == end:
        end, _ = await oldest_running(raw)
    window = str(start), str(end)
    if last_id == 0:
        first = await raw.fetchval(_FIRST, *window)
        if first is None:
            return False  # the cursor stays where it is: an idle subscription writes nothing
        last_id = first - 1
    found, last = await raw.fetchrow(_CHANGES, *_filters(row), row.id, "change", last_id, PAGE, *window)
    following = (start, end, last) if found == PAGE else (end, end, 0)
    moved = await raw.fetchval(
        """UPDATE subscriptions SET window_from = $5::text::xid8, window_to = $6::text::xid8, last_id = $7
           WHERE id = $1 AND window_from = $2::text::xid8 AND window_to = $3::text::xid8 AND last_id = $4
           RETURNING true""",
        row.id,
        *(str(expected[0]), str(expected[1]), expected[2]),
        *(str(following[0]), str(following[1]), following[2]),
    )
    if not moved:
        raise CursorTaken(f"another process has moved the cursor of {row.id}")
    return bool(found == PAGE)


async def _fill_again(raw: asyncpg.Connection, row: Row[Any]) -> bool:
    """The same of what people want to have again."""
    replay = await raw.fetchrow(
        "SELECT id, since, until, after_id, last_id FROM subscription_replays WHERE subscription_id = $1 ORDER BY id",
        row.id,
    )
    if replay is None:
        return False
    number, since, until, after_id, last_id = replay
    found, last = await raw.fetchrow(_AGAIN, *_filters(row), row.id, "replay", after_id, PAGE, last_id, since, until)
    if found == PAGE:
        done = "UPDATE subscription_replays SET after_id = $3 WHERE id = $1 AND after_id = $2 RETURNING true"
        moved = await raw.fetchval(done, number, after_id, last)
    else:
        done = "DELETE FROM subscription_replays WHERE id = $1 AND after_id = $2 RETURNING true"
        moved = await raw.fetchval(done, number, after_id)
    if not moved:
        raise CursorTaken(f"another process has gone on with a replay of {row.id}")
    return True


def _filters(row: Row[Any]) -> Sequence[list[str] | None]:
    filters = filters_of(row)
    named = (filters.aspects, filters.old, filters.new, filters.causes)
    return [*(list(values) or None for values in named), list(BULK_CAUSES), list(filters.segments) or None]
