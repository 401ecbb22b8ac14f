"""The statements of the batch's transaction: whole arrays in, whole columns out, on the raw asyncpg connection."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec
import numpy as np
import numpy.typing as npt

from tierwise.domain import attributes, ledger
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.source import Trust
from tierwise.security.personal import Vault
from tierwise_scoring.batch import DeadLetter, Move
from tierwise_scoring.facets import Facets, write_facets

NOTHING = Trust(channels=frozenset(), kinds=frozenset(), attributes=frozenset(), links=False)
"""The trust of a source that only the topic names."""

_NO_ROWS = ledger.pack(ledger.empty(1), fold_version=0)[0]
_NO_ATTRIBUTES = attributes.pack({})


class PositionTaken(Exception):  # noqa: N818
    """Another worker has moved one of these partitions: this batch's effects are in, or are not ours to make."""


class NewIdentifier(NamedTuple):
    hash: bytes
    customer_id: int
    kind: str
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Customers:
    """Locked rows in the order of their ids. `born`: whether there was a row. `result`: b"" where there was none."""

    ids: list[int]
    born: npt.NDArray[np.bool_]
    ledgers: list[bytes]
    attributes: list[bytes]
    results: list[bytes]
    sequences: list[int]
    classified_at: datetime | None


async def move_positions(tx: asyncpg.Connection, moves: Sequence[Move]) -> datetime:
    """Compare-and-set of every position. Returns the transaction's time. Raises PositionTaken."""
    rows = await tx.fetch(
        """UPDATE stream_positions AS held SET position = move.next
           FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
                AS move (cluster, topic_id, partition, expected, next)
           WHERE (held.cluster, held.topic_id, held.partition) = (move.cluster, move.topic_id, move.partition)
             AND held.position = move.expected
           RETURNING now()""",
        [move.partition.cluster for move in moves],
        [move.partition.topic_id for move in moves],
        [move.partition.index for move in moves],
        [move.expected for move in moves],
        [move.next for move in moves],
    )
    if len(rows) != len(moves):
        raise PositionTaken("a partition is not where this worker left it")
    now: datetime = rows[0][0]
    return now


async def add_dead_letters(tx: asyncpg.Connection, letters: Sequence[DeadLetter], vault: Vault) -> None:
    await tx.executemany(
        """INSERT INTO dead_letters
               (cluster, topic_id, topic, partition, position, record_key, ciphertext, reason, detail)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        [
            (*_log_of(letter), letter.record.position, letter.record.key, vault.seal(letter.record.value), *letter[2:])
            for letter in letters
        ],
    )


def _log_of(letter: DeadLetter) -> tuple[str, str, str, int]:
    where = letter.partition
    return where.cluster, where.topic_id, where.topic, where.index


async def claim_keys(tx: asyncpg.Connection, interactions: Sequence[Interaction]) -> dict[bytes, int]:
    """The keys that were not seen before -> the first interaction of the batch that has it."""
    first: dict[bytes, int] = {}
    for index, one in enumerate(interactions):
        first.setdefault(one.key, index)
    keys = sorted(first)  # in one order everywhere, so that two workers never wait for each other
    rows = await tx.fetch(
        "INSERT INTO interaction_keys (key, day) SELECT * FROM unnest($1::uuid[], $2::int[]) "
        "ON CONFLICT DO NOTHING RETURNING key",
        keys,
        [int(interactions[first[key]].time.timestamp()) // 86_400 for key in keys],
    )
    fresh = {row[0] for row in rows}
    return {key: index for key, index in first.items() if key in fresh}


async def find_identifiers(tx: asyncpg.Connection, hashes: Sequence[bytes]) -> dict[bytes, int]:
    """The customers of those that are known."""
    rows = await tx.fetch("SELECT hash, customer_id FROM identifiers WHERE hash = ANY($1::uuid[])", hashes)
    return dict(rows)


async def add_identifiers(tx: asyncpg.Connection, rows: Sequence[NewIdentifier]) -> bool:
    """Whether every one was new; waits for other transactions that are inserting the same ones."""
    if not rows:
        return True
    hashes, customers, kinds, ciphertexts = zip(*rows, strict=True)
    added = await tx.fetch(
        """INSERT INTO identifiers (hash, customer_id, kind, ciphertext)
           SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[])
           ON CONFLICT DO NOTHING RETURNING 1""",
        hashes,
        customers,
        kinds,
        ciphertexts,
    )
    return len(added) == len(rows)


async def move_identifiers(tx: asyncpg.Connection, moves: Sequence[tuple[int, int]]) -> None:
    """All identifiers of the first customer of each pair go to the second."""
    if moves:
        await tx.execute(
            """UPDATE identifiers AS held SET customer_id = move.winner
               FROM unnest($1::bigint[], $2::bigint[]) AS move (loser, winner) WHERE held.customer_id = move.loser""",
            [loser for loser, _ in moves],
            [winner for _, winner in moves],
        )


async def new_customer_ids(tx: asyncpg.Connection, count: int) -> list[int]:
    if not count:
        return []
    rows = await tx.fetch("SELECT nextval('customer_ids') FROM generate_series(1, $1)", count)
    return [row[0] for row in rows]


_STATE = "id, merged_into, ledger, attributes, result, sequence, classified_at"


async def lock_free(tx: asyncpg.Connection, ids: Sequence[int]) -> Customers:
    """Lock, in the order of their ids, those that no other transaction holds, and read them."""
    rows = await tx.fetch(
        f"""SELECT {_STATE} FROM customers WHERE id = ANY($1::bigint[]) AND merged_into IS NULL
            ORDER BY id FOR UPDATE SKIP LOCKED""",
        ids,
    )
    return _customers([row[0] for row in rows], {row[0]: row for row in rows})


async def lock_customers(tx: asyncpg.Connection, ids: Collection[int]) -> tuple[Customers, list[tuple[int, int]]]:
    """Lock the rows in the order of their ids, and read them. Also (loser, winner) of those merged meanwhile."""
    wanted = sorted(ids)
    rows = await tx.fetch(f"SELECT {_STATE} FROM customers WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", wanted)
    customers = _customers(wanted, {row[0]: row for row in rows})
    return customers, [(row[0], row[1]) for row in rows if row[1] is not None]


def _customers(wanted: list[int], found: dict[int, asyncpg.Record]) -> Customers:
    empty = (0, None, _NO_ROWS, _NO_ATTRIBUTES, b"", 0, None)
    held = [found.get(id_, empty) for id_ in wanted]
    return Customers(
        ids=wanted,
        born=np.array([id_ in found for id_ in wanted], np.bool_),
        ledgers=[row[2] for row in held],
        attributes=[row[3] for row in held],
        results=[row[4] for row in held],
        sequences=[row[5] for row in held],
        classified_at=max((row[6] for row in found.values()), default=None),
    )


@dataclass(frozen=True, slots=True)
class Written:
    """Customers as the batch leaves them, one element each. `attributes[i]`: None where they stay as they are.
    `first_seen` and `last_seen`: None where nothing is to be added. `facets[i]`: None where they stay."""

    ids: list[int]
    born: npt.NDArray[np.bool_]
    ledgers: list[bytes]
    attributes: list[bytes | None]
    results: npt.NDArray[np.void]
    sequences: list[int]
    first_seen: list[datetime | None]
    last_seen: list[datetime | None]
    stage_moved: npt.NDArray[np.bool_]
    facets: list[Facets | None]
    now: datetime
    today: date
    rulebook_id: int


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
                written.rulebook_id,
            )
    facets = zip(written.ids, written.facets, strict=True)
    await write_facets(tx, [(id_, held) for id_, held in facets if held is not None])


# One bytea cut with substring costs less than an array of them: no header and no copy for each element.
_CUT = """
    FROM unnest($1::bigint[], $3::int[], $4::int[], $5::bytea[], $8::int[], $9::timestamptz[], $10::timestamptz[],
                $11::bool[]) WITH ORDINALITY
         AS new (id, start, length, attributes, sequence, first_seen, last_seen, stage_moved, number)"""
_LEDGER = "substring($2::bytea FROM new.start FOR new.length)"
_RESULT = "substring($6::bytea FROM (new.number::int - 1) * $7::int + 1 FOR $7::int)"
_INSERT = f"""
    INSERT INTO customers (id, ledger, attributes, result, rulebook_id, first_seen, last_seen, stage_since,
                           classified_at, sequence, version)
    SELECT new.id, {_LEDGER}, new.attributes, {_RESULT}, $14, new.first_seen, new.last_seen, $13, $12, new.sequence, 1
    {_CUT}"""
_UPDATE = f"""
    UPDATE customers AS held
    SET ledger = {_LEDGER}, attributes = coalesce(new.attributes, held.attributes), result = {_RESULT},
        rulebook_id = $14, first_seen = least(held.first_seen, new.first_seen),
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
    await tx.execute("DELETE FROM customer_facets WHERE customer_id = ANY($1::bigint[])", losers)


CHANGE_COLUMNS = (
    "customer_id", "sequence", "shard", "aspect", "from", "to", "score", "merged", "at", "rulebook_id", "cause",
    "interaction", "source_id", "reasons", "quiet",
)  # fmt: skip
INTERACTION_COLUMNS = (
    "customer_id", "time", "key", "source_id", "id", "channel", "type", "received", "identifiers", "body",
)  # fmt: skip


async def copy(tx: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """COPY rows in."""
    await tx.copy_records_to_table(table, columns=columns, records=rows)


async def source_ids(connection: asyncpg.Connection, names: Collection[str]) -> dict[str, int]:
    """The numbers of sources; one that is not known yet, since another system wrote to the topic, is added."""
    await connection.execute(
        """INSERT INTO sources (name, trust)
           SELECT name, $2::jsonb FROM unnest($1::text[]) AS new (name)
           WHERE NOT EXISTS (SELECT FROM sources AS held WHERE held.name = new.name)
           ON CONFLICT DO NOTHING""",
        sorted(names),
        msgspec.json.encode(NOTHING).decode(),
    )
    rows = await connection.fetch("SELECT name, id FROM sources WHERE name = ANY($1::text[])", list(names))
    return dict(rows)


def results_of(customers: Customers, rulebook: Rulebook) -> npt.NDArray[np.void]:
    """What is stored for each customer; zeros for those who are new."""
    blank = bytes(rulebook.result.itemsize)
    return np.frombuffer(b"".join(result or blank for result in customers.results), rulebook.result)
