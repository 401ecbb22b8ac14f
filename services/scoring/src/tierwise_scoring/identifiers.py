"""The table `identifiers`: whose each is, by its keyed hash."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg


class NewIdentifier(NamedTuple):
    hash: bytes
    customer_id: int
    kind: str
    ciphertext: bytes


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


async def drop_identifiers(tx: asyncpg.Connection, customers: Sequence[int]) -> None:
    """All of these customers'."""
    if customers:
        await tx.execute("DELETE FROM identifiers WHERE customer_id = ANY($1::bigint[])", customers)
