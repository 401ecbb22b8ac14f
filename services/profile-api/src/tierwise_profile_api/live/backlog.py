"""Changes that were committed already, in the order in which they are told.

Transactions are read by windows (`tierwise.db.outbox`): the ends of windows must be numbers that once were the oldest
transaction running, for only such a cut leaves no customer's earlier change behind it.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

from tierwise.db.outbox import SHARDS, STORED_CHANGE
from tierwise.domain.change import StoredChange
from tierwise_profile_api.live.position import Position
from tierwise_profile_api.reads import Reads, Row

PAGE: Final = 500
"""Rows in one read, and events handed on without a pause."""

_SHARDS: Final = f"ARRAY[{', '.join(map(str, range(SHARDS)))}]::smallint[]"

_SOURCES: Final = "LEFT JOIN sources ON sources.id = held.source_id"

# $1 the first transaction, $2 how many rows. One row without a change where there is none.
_NEXT: Final = f"""
WITH now AS MATERIALIZED (
    SELECT pg_snapshot_xmin(taken) AS oldest, pg_snapshot_xmin(taken) < pg_snapshot_xmax(taken) AS running
    FROM pg_current_snapshot() AS taken
)
SELECT now.oldest::text::bigint AS oldest, now.running, found.*
FROM now LEFT JOIN LATERAL (
    SELECT held.id, {STORED_CHANGE} FROM changes AS held {_SOURCES}
    WHERE held.shard = ANY ({_SHARDS}) AND held.xid >= $1::text::xid8 AND held.xid < now.oldest AND NOT held.quiet
    ORDER BY held.id LIMIT $2
) found ON true
ORDER BY found.id
"""

# $1 and $2 the transactions [$1, $2).
_FIRST: Final = f"""
WITH found AS MATERIALIZED (
    SELECT id FROM changes WHERE shard = ANY ({_SHARDS}) AND xid >= $1::text::xid8 AND xid < $2::text::xid8
)
SELECT min(id) FROM found
"""

# As above; $3 after this row, $4 how many. LATERAL by shard, so that each walks its own index from there.
_PAGE: Final = f"""
SELECT found.* FROM unnest({_SHARDS}) AS one (shard) CROSS JOIN LATERAL (
    SELECT held.id, {STORED_CHANGE} FROM changes AS held {_SOURCES}
    WHERE held.shard = one.shard AND held.id > $3 AND held.xid >= $1::text::xid8 AND held.xid < $2::text::xid8
      AND NOT held.quiet
    ORDER BY held.id LIMIT $4
) found
ORDER BY found.id LIMIT $4
"""

# As above; $5 the customers, of whom each has few.
_PAGE_OF: Final = f"""
SELECT held.id, {STORED_CHANGE} FROM changes AS held {_SOURCES}
WHERE held.customer_id = ANY ($5::bigint[]) AND held.id > $3
  AND held.xid >= $1::text::xid8 AND held.xid < $2::text::xid8 AND NOT held.quiet
ORDER BY held.id LIMIT $4
"""

# $1 customers' ids. Each with the ids of the person: the winner's and all losers'.
_PERSONS: Final = """
SELECT asked.id AS asked, held.id AS held
FROM customers asked
JOIN customers held
  ON held.id = coalesce(asked.merged_into, asked.id) OR held.merged_into = coalesce(asked.merged_into, asked.id)
WHERE asked.id = ANY ($1::bigint[])
"""

_OLDEST: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


def change_of(row: Row) -> StoredChange:
    """Of any row read here."""
    return StoredChange(*(row[name] for name in StoredChange.__struct_fields__))


async def now(reads: Reads) -> Position:
    """After all that has ended. Raises Unavailable."""
    row = await reads.row(_OLDEST)
    assert row is not None  # noqa: S101  (the query always has one)
    return Position.after(row[0])


async def following(reads: Reads, position: Position) -> tuple[Position, bool, list[Row]]:
    """The next rows after a whole window, the position before them, and whether transactions are running whose rows are
    still to come. Raises Unavailable."""
    rows = await reads.rows(_NEXT, str(position.end), PAGE)
    oldest, running = rows[0]["oldest"], rows[0]["running"]
    return Position(position.end, oldest, 0), running, [row for row in rows if row["id"] is not None]


async def page(reads: Reads, position: Position, customers: Collection[int] | None = None) -> list[Row]:
    """The next rows in the position's own window, all there are where they are fewer than PAGE. Raises Unavailable."""
    window = str(position.start), str(position.end)
    if customers is not None:
        return await reads.rows(_PAGE_OF, *window, position.last_id, PAGE, list(customers))
    after = position.last_id
    if after == 0:
        first = await reads.row(_FIRST, *window)
        if first is None or first[0] is None:
            return []
        after = first[0] - 1
    return await reads.rows(_PAGE, *window, after, PAGE)


async def between(
    reads: Reads, heard: Position, until: Position, customers: Collection[int] | None = None
) -> AsyncIterator[Sequence[tuple[Position, Row]]]:
    """Pages of what comes after `heard` up to and with `until`, each row with the position that it takes to; `until`
    does not begin before `heard` ends. Raises Unavailable."""
    windows = [heard, Position(heard.end, until.start, 0), Position(until.start, until.end, 0)]
    for index, window in enumerate(windows):
        at = window
        while at.start < at.end:
            rows = await page(reads, at, customers)
            if index == len(windows) - 1:
                rows = [row for row in rows if row["id"] <= until.last_id]
            if rows:
                yield [(at._replace(last_id=row["id"]), row) for row in rows]
            if len(rows) < PAGE:
                break
            at = at._replace(last_id=rows[-1]["id"])


async def persons(reads: Reads, asked: Collection[int]) -> dict[int, frozenset[int]]:
    """Of each customer who is known, all ids of the person. Raises Unavailable."""
    found: dict[int, set[int]] = {}
    for row in await reads.rows(_PERSONS, list(asked)):
        found.setdefault(row["asked"], set()).add(row["held"])
    return {number: frozenset(ids) for number, ids in found.items()}


def concerned(row: Row) -> tuple[Any, ...]:
    """The customers whom a row is about; two where they were merged or split."""
    return (row["customer_id"],) if row["merged"] is None else (row["customer_id"], row["merged"])
