"""Who is a member of which segment, kept right in the transaction that writes the customers.

Whoever writes customers holds their rows and looks at the segments after that, so what a segment's pass finds and what
they find never miss each other: `tierwise_scoring.segment_pass`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import asyncpg

from tierwise.db.outbox import CHANNEL
from tierwise.domain.change import MEMBER, segment_aspect
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.expressions import ExpressionError
from tierwise.domain.rulebook.parse import parse
from tierwise.finding.conditions import Bound
from tierwise.finding.expression_sql import condition_of
from tierwise_scoring import store
from tierwise_scoring.changes import Cause, Found, change_rows


class Segment(NamedTuple):
    id: int
    name: str
    filter: str


class Conditions(NamedTuple):
    """Of segments, in their order, on `customer_facets` as f; None of one that the rulebook has no words for: its
    members stay."""

    sql: tuple[str | None, ...]
    values: tuple[object, ...]


@lru_cache(maxsize=64)
def conditions_of(filters: tuple[str, ...], rulebook: Rulebook) -> Conditions:
    bound = Bound()
    return Conditions(tuple(_condition(one, rulebook, bound) for one in filters), tuple(bound.values))


def _condition(expression: str, rulebook: Rulebook, bound: Bound) -> str | None:
    held = len(bound.values)
    try:
        return condition_of(parse(expression), expression, rulebook, bound)
    except ExpressionError:
        del bound.values[held:]
        return None


async def follow_segments(
    tx: asyncpg.Connection,
    ids: Sequence[int],
    sequences: Sequence[int],
    cause_of: Callable[[int], Cause],
    rulebook: Rulebook,
    *,
    named: tuple[int, int | None],
    at: datetime,
    segments: Sequence[Segment] | None = None,
) -> dict[int, int]:
    """What becomes of the memberships of customers whose facets were written, with changes that take effect `at`.
    `ids`: locked; `sequences`: of their last changes; `cause_of`: by index; `named`: the numbers of the rulebook and
    its cuts; `segments`: None is all. Returns the new last sequences by id."""
    if segments is None:
        rows = await tx.fetch("SELECT id, name, filter FROM segments ORDER BY id FOR KEY SHARE")
        segments = [Segment(*row) for row in rows]
    if not segments or not ids:
        return {}
    found = await _moved(tx, ids, segments, rulebook)
    changes = change_rows(found, ids, sequences, cause_of, at=at, named=named)
    last: dict[int, int] = {row[0]: row[1] for row in changes}
    if changes:
        await tx.execute(_SEQUENCES, list(last), list(last.values()))
        await store.copy(tx, "changes", store.CHANGE_COLUMNS, changes)
        await tx.execute("SELECT pg_notify($1, '')", CHANNEL)
    return last


_SEQUENCES: Final = """
    UPDATE customers SET sequence = new.sequence FROM unnest($1::bigint[], $2::int[]) AS new (id, sequence)
    WHERE customers.id = new.id"""


async def _moved(
    tx: asyncpg.Connection, ids: Sequence[int], segments: Sequence[Segment], rulebook: Rulebook
) -> list[Found]:
    """Who comes and who goes, with the rows of `segment_members` moved."""
    readable, fitting = await _fitting(tx, ids, segments, rulebook)
    rows = await tx.fetch(
        "SELECT customer_id, segment_id FROM segment_members WHERE customer_id = ANY ($1::bigint[])", ids
    )
    held = {(row[0], row[1]) for row in rows if row[1] in readable}
    come, gone = sorted(fitting - held), sorted(held - fitting)
    for statement, moved in ((_COME, come), (_GONE, gone)):
        if moved:
            await tx.execute(statement, [customer for customer, _ in moved], [segment for _, segment in moved])
    index, name = {id_: place for place, id_ in enumerate(ids)}, {one.id: one.name for one in segments}
    aspects = {number: segment_aspect(name[number]) for number in readable}
    came = [Found(index[one], aspects[number], None, MEMBER, None, None, b"") for one, number in come]
    return came + [Found(index[one], aspects[number], MEMBER, None, None, None, b"") for one, number in gone]


async def _fitting(
    tx: asyncpg.Connection, ids: Sequence[int], segments: Sequence[Segment], rulebook: Rulebook
) -> tuple[set[int], set[tuple[int, int]]]:
    """The segments that the rulebook has words for; pairs of customer and segment that fit."""
    conditions = conditions_of(tuple(one.filter for one in segments), rulebook)
    named = [(one.id, sql) for one, sql in zip(segments, conditions.sql, strict=True) if sql is not None]
    if not named:
        return set(), set()
    numbers = [number for number, _ in named]
    columns = ", ".join(sql for _, sql in named)
    rows = await tx.fetch(
        f"""SELECT f.customer_id, {columns} FROM customer_facets f
            WHERE f.customer_id = ANY (${len(conditions.values) + 1}::bigint[])""",
        *conditions.values,
        ids,
    )
    return set(numbers), {
        (row[0], number) for row in rows for number, fits in zip(numbers, row[1:], strict=True) if fits
    }


_COME: Final = "INSERT INTO segment_members SELECT * FROM unnest($1::bigint[], $2::int[])"
_GONE: Final = """
    DELETE FROM segment_members
    WHERE (customer_id, segment_id) IN (SELECT * FROM unnest($1::bigint[], $2::int[]))"""


async def departures(tx: asyncpg.Connection, ids: Sequence[int]) -> list[Found]:
    """Of customers who are about to go: that they leave their segments, by their index in `ids`."""
    rows = await tx.fetch(
        """SELECT m.customer_id, s.name FROM segment_members m JOIN segments s ON s.id = m.segment_id
           WHERE m.customer_id = ANY ($1::bigint[]) ORDER BY 1, s.id""",
        ids,
    )
    index = {id_: place for place, id_ in enumerate(ids)}
    return [Found(index[row[0]], segment_aspect(row[1]), MEMBER, None, None, None, b"") for row in rows]
