"""The tables of what people ruled: which rulings there are, what holds of an identifier, who names one not theirs."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import asyncpg

from tierwise.domain.customer_id import internal_id
from tierwise.domain.interaction import Interaction
from tierwise.domain.ruling import Ruling
from tierwise.domain.source import BY_HAND
from tierwise.domain.ties import Naming, Rulings, Word, is_erased, rulings_of, tie_of
from tierwise.security.personal import Vault


class Mention(NamedTuple):
    """An interaction of a customer names an identifier that is not the customer's."""

    hash: bytes
    customer_id: int
    kind: str
    ciphertext: bytes


async def read_rulings(tx: asyncpg.Connection, hashes: Collection[bytes]) -> Rulings:
    """What was ruled of these identifiers."""
    rows = await tx.fetch(
        "SELECT hash, ruling, key, side, at FROM ruled_identifiers WHERE hash = ANY($1::uuid[])", list(hashes)
    )
    return rulings_of(Word(*row) for row in rows)


async def add_ruling(tx: asyncpg.Connection, ruling: Ruling, vault: Vault) -> bool:
    """Whether it was not known yet."""
    key, named = ruling.key, ruling.named
    added = await tx.fetchval(
        """INSERT INTO rulings (key, id, ruling, author, at, reason, customer_id, kind, ciphertext)
           VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING true""",
        key,
        ruling.id,
        ruling.ruling,
        ruling.author,
        ruling.time,
        None if ruling.reason is None else vault.seal(ruling.reason.encode(), context=b"reason"),
        None if ruling.customer_id is None else internal_id(ruling.customer_id),
        None if named is None else named.kind,
        None if named is None else vault.seal(named.value.encode(), context=named.kind.encode()),
    )
    if added is None:
        return False
    sides = [*((hash_, 0) for hash_ in ruling.identifiers), *((hash_, 1) for hash_ in ruling.others)]
    await tx.executemany(
        """INSERT INTO ruled_identifiers (hash, key, ruling, side, at) VALUES ($1::uuid, $2::uuid, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        [(bytes.fromhex(hash_), key, ruling.ruling, side, ruling.time) for hash_, side in sides],
    )
    return True


async def concerned_by(tx: asyncpg.Connection, hashes: Sequence[bytes]) -> list[int]:
    """The customers among whose interactions those are that name any of these identifiers: who has it, who mentions
    it, and who has what a split has put apart from it."""
    rows = await tx.fetch(
        """WITH named AS (
               SELECT unnest($1::uuid[]) AS hash
               UNION
               SELECT other.hash FROM ruled_identifiers AS one JOIN ruled_identifiers AS other ON other.key = one.key
               WHERE one.hash = ANY($1::uuid[]) AND one.ruling = 'split'
           )
           SELECT customer_id FROM identifiers JOIN named USING (hash)
           UNION
           SELECT coalesce(merged_into, id) FROM mentions JOIN named USING (hash) JOIN customers ON id = customer_id""",
        hashes,
    )
    return [row[0] for row in rows]


async def add_mentions(tx: asyncpg.Connection, mentions: Sequence[Mention]) -> None:
    if mentions:
        await tx.executemany(
            """INSERT INTO mentions (hash, customer_id, kind, ciphertext) VALUES ($1::uuid, $2, $3, $4)
               ON CONFLICT DO NOTHING""",
            mentions,
        )


class Tied(NamedTuple):
    """Interactions that count, each with its key, the hashes of its identifiers, the strongest first, and those of
    them that it ties together."""

    interactions: Sequence[Interaction]
    keys: Sequence[bytes]
    hashes: Sequence[Sequence[bytes]]
    ties: Sequence[Sequence[bytes]]


async def tied(
    tx: asyncpg.Connection, interactions: Sequence[Interaction], keys: Sequence[bytes], vault: Vault
) -> Tied:
    """As the rulings have them. Those of whom was erased are left out."""
    hashes = [[vault.identifier_hash(kind, value) for kind, value in one.named] for one in interactions]
    rulings = await read_rulings(tx, {hash_ for named in hashes for hash_ in named})
    if not rulings:
        ties = [every if one.links else every[:1] for one, every in zip(interactions, hashes, strict=True)]
        return Tied(interactions, keys, hashes, ties)
    namings = [
        Naming(every, one.links, one.source == BY_HAND, one.time, one.received)
        for one, every in zip(interactions, hashes, strict=True)
    ]
    kept = [index for index, naming in enumerate(namings) if not is_erased(naming, rulings)]
    return Tied(
        [interactions[index] for index in kept],
        [keys[index] for index in kept],
        [hashes[index] for index in kept],
        [tie_of(namings[index], rulings) for index in kept],
    )


def mentions_of(batch: Tied, owners: Iterable[int], vault: Vault) -> list[Mention]:
    """`owners`: the customer of each interaction."""
    found = {
        (hash_, owner): named
        for one, hashes, tie, owner in zip(batch.interactions, batch.hashes, batch.ties, owners, strict=True)
        if one.links and len(tie) < len(hashes)
        for hash_, named in zip(hashes, one.named, strict=True)
        if hash_ not in tie
    }
    return [
        Mention(*whose, kind, vault.seal(value.encode(), context=kind.encode()))
        for whose, (kind, value) in sorted(found.items())
    ]
