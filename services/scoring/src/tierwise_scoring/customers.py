"""The table `customers`: rows are locked in the order of their ids, read, and written as arrays."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg
import numpy as np
import numpy.typing as npt

from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.rulebook import Rulebook
from tierwise_scoring.facets import Facets, write_facets
from tierwise_scoring.identifiers import drop_identifiers, move_identifiers
from tierwise_scoring.measures import Measures

_NO_ROWS = packed_ledger.pack(ledger.empty(1), fold_version=0)[0]
_NO_ATTRIBUTES = attributes.pack({})


@dataclass(frozen=True, slots=True)
class Customers:
    """Locked rows in the order of their ids. `born`: whether there was a row. `results`, `named`: b"" and (0, None)
    where there was none. `named[c]`: the number of the rulebook, and that of its cuts."""

    ids: list[int]
    born: npt.NDArray[np.bool_]
    ledgers: list[bytes]
    attributes: list[bytes]
    results: list[bytes]
    sequences: list[int]
    named: list[tuple[int, int | None]]
    classified_at: datetime | None


async def new_customer_ids(tx: asyncpg.Connection, count: int) -> list[int]:
    if not count:
        return []
    rows = await tx.fetch("SELECT nextval('customer_ids') FROM generate_series(1, $1)", count)
    return [row[0] for row in rows]


_STATE = "id, merged_into, ledger, attributes, result, sequence, rulebook_id, cuts, classified_at"


async def lock_due(tx: asyncpg.Connection, ids: Sequence[int], now: datetime) -> Customers:
    """Lock, in the order of their ids, those that are still due for a review and that no other transaction holds, and
    read them."""
    rows = await tx.fetch(
        f"""SELECT {_STATE} FROM customers
            WHERE id = ANY($1::bigint[]) AND merged_into IS NULL
              AND EXISTS (SELECT FROM reviews WHERE customer_id = id AND due <= $2)
            ORDER BY id FOR UPDATE OF customers SKIP LOCKED""",
        ids,
        now,
    )
    return _customers([row[0] for row in rows], {row[0]: row for row in rows})


async def read_page(tx: asyncpg.Connection, after: int, limit: int, *, seen_by: datetime | None = None) -> Customers:
    """The next ones after an id, as they are, without locking them. `seen_by`: those who were there by then."""
    rows = await tx.fetch(
        f"""SELECT {_STATE} FROM customers
            WHERE id > $1 AND merged_into IS NULL AND first_seen <= coalesce($3, 'infinity'::timestamptz)
            ORDER BY id LIMIT $2""",
        after,
        limit,
        seen_by,
    )
    return _customers([row[0] for row in rows], {row[0]: row for row in rows})


OTHERS = "(rulebook_id <> $1 OR cuts IS DISTINCT FROM $2::int) AND merged_into IS NULL"
"""Who names another rulebook ($1) or other cuts ($2)."""


async def lock_others(
    tx: asyncpg.Connection, named: tuple[int, int | None], first: int, last: int, *, wait: bool = False
) -> Customers:
    """The same, of the ids from `first` to `last`: OTHERS than `named`. `wait`: for those too that are held."""
    rows = await tx.fetch(
        f"""SELECT {_STATE} FROM customers WHERE id BETWEEN $3 AND $4 AND {OTHERS}
            ORDER BY id FOR UPDATE {"" if wait else "SKIP LOCKED"}""",
        *named,
        first,
        last,
    )
    return _customers([row[0] for row in rows], {row[0]: row for row in rows})


async def lock_customers(tx: asyncpg.Connection, ids: Collection[int]) -> tuple[Customers, list[tuple[int, int]]]:
    """Lock the rows in the order of their ids, and read them. Also (loser, winner) of those merged meanwhile."""
    wanted = sorted(ids)
    rows = await tx.fetch(f"SELECT {_STATE} FROM customers WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", wanted)
    customers = _customers(wanted, {row[0]: row for row in rows})
    return customers, [(row[0], row[1]) for row in rows if row[1] is not None]


def _customers(wanted: list[int], found: dict[int, asyncpg.Record]) -> Customers:
    empty = (0, None, _NO_ROWS, _NO_ATTRIBUTES, b"", 0, 0, None, None)
    held = [found.get(id_, empty) for id_ in wanted]
    return Customers(
        ids=wanted,
        born=np.array([id_ in found for id_ in wanted], np.bool_),
        ledgers=[row[2] for row in held],
        attributes=[row[3] for row in held],
        results=[row[4] for row in held],
        sequences=[row[5] for row in held],
        named=[(row[6], row[7]) for row in held],
        classified_at=max((row[8] for row in found.values()), default=None),
    )


@dataclass(frozen=True, slots=True)
class Written:
    """Customers as the batch leaves them, one element each. `attributes[i]`: None where they stay as they are.
    `first_seen` and `last_seen`: None where nothing is to be added. `facets`: by index, of whom they do not stay."""

    ids: list[int]
    born: npt.NDArray[np.bool_]
    ledgers: list[bytes]
    attributes: list[bytes | None]
    results: npt.NDArray[np.void]
    sequences: list[int]
    first_seen: list[datetime | None]
    last_seen: list[datetime | None]
    stage_moved: npt.NDArray[np.bool_]
    facets: dict[int, Facets]
    measures: Measures
    now: datetime
    today: date
    named: tuple[int, int | None]


async def write_customers(tx: asyncpg.Connection, written: Written) -> None:
    """Insert the new ones, update the others, each with one statement."""
    for born, statement in ((False, _INSERT), (True, _UPDATE)):
        chosen = np.flatnonzero(written.born == born).tolist()
        if chosen:
            lengths = [len(written.ledgers[index]) for index in chosen]
            await tx.execute(
                statement,
                [written.ids[index] for index in chosen],
                b"".join(written.ledgers[index] for index in chosen),
                np.cumsum([1, *lengths[:-1]]).tolist(),
                lengths,
                [written.attributes[index] for index in chosen],
                written.results[chosen].tobytes(),
                written.results.dtype.itemsize,
                [written.sequences[index] for index in chosen],
                [written.first_seen[index] for index in chosen],
                [written.last_seen[index] for index in chosen],
                written.stage_moved[chosen].tolist(),
                written.now,
                written.today,
                *written.named,
            )
    await write_facets(tx, written.ids, written.facets, written.measures)


# One bytea cut with substring costs less than an array of them: no header and no copy for each element.
_CUT = """
    FROM unnest($1::bigint[], $3::int[], $4::int[], $5::bytea[], $8::int[], $9::timestamptz[], $10::timestamptz[],
                $11::bool[]) WITH ORDINALITY
         AS new (id, start, length, attributes, sequence, first_seen, last_seen, stage_moved, number)"""
_LEDGER = "substring($2::bytea FROM new.start FOR new.length)"
_RESULT = "substring($6::bytea FROM (new.number::int - 1) * $7::int + 1 FOR $7::int)"
_INSERT = f"""
    INSERT INTO customers (id, ledger, attributes, result, rulebook_id, cuts, first_seen, last_seen, stage_since,
                           classified_at, sequence, version)
    SELECT new.id, {_LEDGER}, new.attributes, {_RESULT}, $14, $15::int, new.first_seen, new.last_seen, $13, $12,
           new.sequence, 1
    {_CUT}"""
_UPDATE = f"""
    UPDATE customers AS held
    SET ledger = {_LEDGER}, attributes = coalesce(new.attributes, held.attributes), result = {_RESULT},
        rulebook_id = $14, cuts = $15::int, first_seen = least(held.first_seen, new.first_seen),
        last_seen = greatest(held.last_seen, new.last_seen),
        stage_since = CASE WHEN new.stage_moved THEN $13 ELSE held.stage_since END,
        classified_at = $12, sequence = new.sequence, version = held.version + 1
    {_CUT}
    WHERE held.id = new.id"""


async def write_merges(tx: asyncpg.Connection, merged: Sequence[tuple[int, int]]) -> None:
    """The losers point to their winners, as does everyone who pointed to a loser; their rows are emptied."""
    if not merged:
        return
    losers, winners = [loser for loser, _ in merged], [winner for _, winner in merged]
    await move_identifiers(tx, merged)
    await tx.execute(
        """UPDATE customers AS winner SET first_seen = least(winner.first_seen, loser.first_seen),
                  last_seen = greatest(winner.last_seen, loser.last_seen)
           FROM (SELECT pair.winner, min(held.first_seen) AS first_seen, max(held.last_seen) AS last_seen
                 FROM unnest($1::bigint[], $2::bigint[]) AS pair (loser, winner)
                      JOIN customers AS held ON held.id = pair.loser
                 GROUP BY pair.winner) AS loser
           WHERE winner.id = loser.winner""",
        losers,
        winners,
    )
    await tx.execute(
        """UPDATE customers AS held SET merged_into = pair.winner, version = held.version + 1,
                  ledger = CASE WHEN held.id = pair.loser THEN $3 ELSE held.ledger END,
                  attributes = CASE WHEN held.id = pair.loser THEN $4 ELSE held.attributes END
           FROM unnest($1::bigint[], $2::bigint[]) AS pair (loser, winner)
           WHERE held.id = pair.loser OR held.merged_into = pair.loser""",
        losers,
        winners,
        _NO_ROWS,
        _NO_ATTRIBUTES,
    )
    for table in ("customer_facets", "segment_members"):
        await tx.execute(f"DELETE FROM {table} WHERE customer_id = ANY($1::bigint[])", losers)


async def add_customers(
    tx: asyncpg.Connection, ids: Sequence[int], named: tuple[int, int | None], now: datetime
) -> None:
    """New ones, empty, to be folded and classified in this transaction."""
    await tx.executemany(
        """INSERT INTO customers (id, ledger, attributes, result, rulebook_id, cuts, first_seen, last_seen, stage_since,
                                  classified_at, sequence, version)
           VALUES ($1, $2, $3, '', $4, $5, $6, $6, $6::timestamptz::date, $6, 0, 0)""",
        [(id_, _NO_ROWS, _NO_ATTRIBUTES, *named, now) for id_ in ids],
    )


async def set_persons(tx: asyncpg.Connection, into: Mapping[int, int]) -> None:
    """By locked customer, who stands for it, itself or another. Whoever is merged away is emptied; whoever stands for
    themselves again is to be folded and classified in this transaction."""
    pairs = [(id_, None if id_ == person else person) for id_, person in into.items()]
    rows = await tx.fetch(
        """UPDATE customers AS held SET merged_into = new.person, version = held.version + 1,
                  ledger = $3, attributes = $4
           FROM unnest($1::bigint[], $2::bigint[]) AS new (id, person)
           WHERE held.id = new.id AND held.merged_into IS DISTINCT FROM new.person
           RETURNING held.id, held.merged_into""",
        [id_ for id_, _ in pairs],
        [person for _, person in pairs],
        _NO_ROWS,
        _NO_ATTRIBUTES,
    )
    merged = [id_ for id_, person in rows if person is not None]
    for table in ("customer_facets", "segment_members", "reviews"):
        await tx.execute(f"DELETE FROM {table} WHERE customer_id = ANY($1::bigint[])", merged)


async def remove_customers(tx: asyncpg.Connection, ids: Sequence[int]) -> None:
    """Locked ones of whom nothing is stored any more, with those who were merged into them. Their changes stay."""
    await drop_identifiers(tx, ids)
    for table in ("customer_facets", "segment_members", "reviews"):
        await tx.execute(f"DELETE FROM {table} WHERE customer_id = ANY($1::bigint[])", ids)
    await tx.execute("DELETE FROM customers WHERE id = ANY($1::bigint[]) OR merged_into = ANY($1::bigint[])", ids)


def results_of(customers: Customers, rulebook: Rulebook) -> npt.NDArray[np.void]:
    """What is stored for each customer; zeros for those who are new."""
    blank = bytes(rulebook.result.itemsize)
    return np.frombuffer(b"".join(result or blank for result in customers.results), rulebook.result)
