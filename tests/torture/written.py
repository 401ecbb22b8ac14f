"""What was written back, as the log has it: its times and whom it names were decided when it was accepted, so that the
run which nobody interrupts is given the same and does not say it again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import driver_connection, snapshot
from tierwise.domain import interaction, ruling
from tierwise.domain.customer_id import public_id
from tierwise.domain.interaction import Interaction
from tierwise.domain.ruling import Named, Ruling
from tierwise.domain.source import BY_HAND
from tierwise.folding.refold import stored_interaction
from tierwise.security.personal import Vault
from tierwise.stream.port import Outgoing

_Identifier = tuple[str, str]


class Ruled(NamedTuple):
    """A ruling whose hashes are told: they are made with a database's own key."""

    ruling: Ruling
    identifiers: Sequence[_Identifier]
    others: Sequence[_Identifier]


class Written(NamedTuple):
    entries: list[Interaction]
    rulings: list[Ruled]

    def records(self, vault: Vault) -> Iterable[Outgoing]:
        """For the stream of another database, which `vault` is of."""

        def hashes(identifiers: Iterable[_Identifier]) -> list[bytes]:
            return [vault.identifier_hash(*one) for one in identifiers]

        for entry in self.entries:
            yield Outgoing(vault.identifier_hash(*entry.named[0]), interaction.encode(entry))
        for one in self.rulings:
            sides = hashes(one.identifiers), hashes(one.others)
            said = msgspec.structs.replace(
                one.ruling,
                identifiers=tuple(hash_.hex() for hash_ in sides[0]),
                others=tuple(hash_.hex() for hash_ in sides[1]),
            )
            yield Outgoing(sides[0][0], ruling.encode(said))


async def written(engine: AsyncEngine, vault: Vault) -> Written:
    """All that a database holds."""
    async with snapshot(engine) as connection:
        tx = await driver_connection(connection)
        entries = await tx.fetch(_ENTRIES, BY_HAND)
        rulings = await tx.fetch(_RULINGS)
        words = await tx.fetch("SELECT key, hash, side FROM ruled_identifiers")
        known = {
            row["hash"]: (row["kind"], vault.open(row["ciphertext"], context=row["kind"].encode()).decode())
            for row in await tx.fetch(_KNOWN)
        }
    sides: dict[tuple[bytes, int], list[_Identifier]] = {}
    for key, hash_, side in words:
        sides.setdefault((key, side), []).append(known[hash_])
    return Written(
        [_entry(row, known, vault) for row in entries],
        [Ruled(_ruling(row, vault), sides[row["key"], 0], sides.get((row["key"], 1), ())) for row in rulings],
    )


def _entry(row: asyncpg.Record, known: Mapping[bytes, _Identifier], vault: Vault) -> Interaction:
    named = dict(known[hash_] for hash_ in row["identifiers"])
    return msgspec.structs.replace(stored_interaction(row, BY_HAND, vault), identifiers=named)


def _ruling(row: asyncpg.Record, vault: Vault) -> Ruling:
    """Without its identifiers."""
    kind, ciphertext = row["kind"], row["ciphertext"]
    return Ruling(
        ruling=row["ruling"],
        id=row["id"],
        author=row["author"],
        time=row["at"],
        identifiers=(),
        named=None if kind is None else Named(kind, vault.open(ciphertext, context=kind.encode()).decode()),
        customer_id=None if row["customer_id"] is None else public_id(row["customer_id"]),
    )


_ENTRIES = """
    SELECT held.time, held.id, held.channel, held.type, held.received, held.identifiers, held.body
    FROM interactions AS held JOIN sources ON sources.id = held.source_id WHERE sources.name = $1
    ORDER BY held.time"""
_RULINGS = "SELECT key, id, ruling, author, at, customer_id, kind, ciphertext FROM rulings ORDER BY number"
_KNOWN = """
    SELECT hash, kind, ciphertext FROM identifiers
    UNION ALL SELECT hash, kind, ciphertext FROM mentions
    UNION ALL SELECT hash, rulings.kind, rulings.ciphertext FROM rulings JOIN ruled_identifiers USING (key)
              WHERE rulings.kind IS NOT NULL"""
