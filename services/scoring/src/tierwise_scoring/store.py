"""The statements of the batch's transaction: whole arrays in, whole columns out, on the raw asyncpg connection."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from tierwise.domain.interaction import Interaction
from tierwise.domain.source import Trust
from tierwise.security.personal import Vault
from tierwise_scoring.batch import DeadLetter, Move

NOTHING = Trust(channels=frozenset(), kinds=frozenset(), attributes=frozenset(), links=False)
"""The trust of a source that only the topic names."""


class PositionTaken(Exception):  # noqa: N818
    """Another worker has moved one of these partitions: this batch's effects are in, or are not ours to make."""


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
