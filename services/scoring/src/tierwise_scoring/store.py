"""The statements of the batch's transaction: whole arrays in, whole columns out, on the raw asyncpg connection."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from tierwise.domain.interaction import Interaction, content_of
from tierwise.domain.source import Trust
from tierwise.security.personal import Vault
from tierwise_scoring.batch import DeadLetter, Move

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NOTHING = Trust(channels=frozenset(), kinds=frozenset(), attributes=frozenset(), links=False)
"""The trust of a source that only the topic names."""


class PositionTaken(Exception):  # noqa: N818
    """Another worker has moved one of these partitions: this batch's effects are in, or are not ours to make."""


async def move_positions(tx: asyncpg.Connection, moves: Sequence[Move]) -> None:
    """Compare-and-set of every position. Raises PositionTaken."""
    rows = await tx.fetch(
        """UPDATE stream_positions AS held SET position = move.next
           FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
                AS move (cluster, topic_id, partition, expected, next)
           WHERE (held.cluster, held.topic_id, held.partition) = (move.cluster, move.topic_id, move.partition)
             AND held.position = move.expected
           RETURNING 1""",
        [move.partition.cluster for move in moves],
        [move.partition.topic_id for move in moves],
        [move.partition.index for move in moves],
        [move.expected for move in moves],
        [move.next for move in moves],
    )
    if len(rows) != len(moves):
        raise PositionTaken("a partition is not where this worker left it")


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


class Claimed(NamedTuple):
    """`fresh`: keys that were not seen before -> the first interaction of the batch that has it. `conflicting`: those
    interactions of the batch whose key was seen with another content, which stands."""

    fresh: dict[bytes, int]
    conflicting: list[int]


async def claim_keys(tx: asyncpg.Connection, interactions: Sequence[Interaction]) -> Claimed:
    first: dict[bytes, int] = {}
    repeats: list[int] = []
    contents = [content_of(one) for one in interactions]
    keys_of = [one.key for one in interactions]
    for index, key in enumerate(keys_of):
        if first.setdefault(key, index) != index:
            repeats.append(index)
    keys = sorted(first)  # in one order everywhere, so that two workers never wait for each other
    rows = await tx.fetch(  # what is known, since mostly nothing is
        """WITH new AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[]) AS new (key, day, content)),
                added AS (INSERT INTO interaction_keys (key, day, content) SELECT * FROM new
                          ON CONFLICT DO NOTHING RETURNING key)
           SELECT key FROM new EXCEPT ALL SELECT key FROM added""",
        keys,
        [(interactions[first[key]].time - _EPOCH).days for key in keys],
        [contents[first[key]] for key in keys],
    )
    known = {row[0] for row in rows}
    repeats += [first[key] for key in known]
    held = await _held_contents(tx, {keys_of[index] for index in repeats})
    conflicting = [index for index in sorted(repeats) if held.get(keys_of[index], contents[index]) != contents[index]]
    return Claimed({key: index for key, index in first.items() if key not in known}, conflicting)


async def _held_contents(tx: asyncpg.Connection, keys: Collection[bytes]) -> dict[bytes, int]:
    if not keys:
        return {}
    return dict(await tx.fetch("SELECT key, content FROM interaction_keys WHERE key = ANY($1::uuid[])", list(keys)))


async def hold_batches(tx: asyncpg.Connection, ids: Collection[int]) -> dict[int, datetime]:
    """What was received before that moment does not count any more, by batch; none of them is retracted until the
    end of the transaction."""
    rows = await tx.fetch(
        "SELECT id, retracted_before FROM batches WHERE id = ANY($1::int[]) ORDER BY id FOR SHARE", sorted(ids)
    )
    return {row[0]: row[1] for row in rows if row[1] is not None}


CHANGE_COLUMNS = (
    "customer_id", "sequence", "shard", "aspect", "from", "to", "score", "merged", "at", "rulebook_id", "cuts",
    "cause", "interaction", "source_id", "reasons", "quiet",
)  # fmt: skip
INTERACTION_COLUMNS = (
    "customer_id", "time", "key", "source_id", "batch_id", "id", "channel", "type", "received", "identifiers", "body",
    "amount", "currency", "links",
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


async def batch_ids(connection: asyncpg.Connection, names: Collection[str]) -> dict[str, int]:
    """The numbers of imports' batches; one that is not known yet is added."""
    await connection.execute(
        """INSERT INTO batches (name) SELECT name FROM unnest($1::text[]) AS new (name)
           WHERE NOT EXISTS (SELECT FROM batches AS held WHERE held.name = new.name)
           ON CONFLICT DO NOTHING""",
        sorted(names),
    )
    return dict(await connection.fetch("SELECT name, id FROM batches WHERE name = ANY($1::text[])", list(names)))
