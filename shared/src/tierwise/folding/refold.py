"""Folding customers again from their checkpoints and stored interactions, and those of whoever was merged into them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg
import msgspec
import numpy as np

from tierwise.db.bodies import unpack_body
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.updates import Updates
from tierwise.folding.checkpoints import Checkpoint, added, read_checkpoints
from tierwise.folding.fold import fold
from tierwise.security.personal import NotSealedHere, Vault

_CHUNK: Final = 10_000  # interactions in memory at once, about 20 MB, whatever a customer's history holds


@dataclass(slots=True)
class Refolded:
    """State by customer as the interactions alone give it. `interactions[c]`: how many there were, `summed[c]` of them
    in checkpoints, as they were folded once; `unreadable[c]`: the ids of those whose bytes cannot be read, so that c's
    state is not known."""

    ledgers: list[bytes]
    attributes: list[Attributes]
    first_seen: list[datetime | None]
    last_seen: list[datetime | None]
    interactions: Ints
    summed: Ints
    unreadable: dict[int, list[str]] = field(default_factory=dict)

    @classmethod
    def empty(cls, customers: int, rulebook: Rulebook) -> "Refolded":
        return cls(
            packed_ledger.pack(ledger.empty(customers), rulebook.fold_version),
            [{} for _ in range(customers)],
            [None] * customers,
            [None] * customers,
            np.zeros(customers, np.int64),
            np.zeros(customers, np.int64),
        )

    def take_in(self, checkpoints: Sequence[Checkpoint], owners: Sequence[int], rulebook: Rulebook) -> None:
        """`owners[i]`: the index of the customer whose checkpoint i is."""
        ledgers = added(packed_ledger.unpack(self.ledgers), checkpoints, np.array(owners, np.int64))
        self.ledgers = packed_ledger.pack(ledgers, rulebook.fold_version)
        for one, owner in zip(checkpoints, owners, strict=True):
            attributes.merge(self.attributes[owner], attributes.unpack(one.attributes).items())
            [self.first_seen[owner]] = _bounds(min, [self.first_seen[owner]], [one.first_seen])
            [self.last_seen[owner]] = _bounds(max, [self.last_seen[owner]], [one.last_seen])
            self.interactions[owner] += one.interactions
            self.summed[owner] += one.interactions


async def refold(tx: asyncpg.Connection, customers: Sequence[int], rulebook: Rulebook, vault: Vault) -> Refolded:
    """`tx`: in a transaction that sees one state of these customers and their interactions."""
    index = {id_: position for position, id_ in enumerate(customers)}
    for id_, winner in await tx.fetch(
        "SELECT id, merged_into FROM customers WHERE merged_into = ANY($1::bigint[])", list(customers)
    ):
        index[id_] = index[winner]
    sources = dict(await tx.fetch("SELECT id, name FROM sources"))
    state = Refolded.empty(len(customers), rulebook)
    if checkpoints := await read_checkpoints(tx, index):
        state.take_in(checkpoints, [index[one.customer_id] for one in checkpoints], rulebook)
    cursor = await tx.cursor(
        """SELECT customer_id, time, source_id, id, channel, type, received, body
           FROM interactions WHERE customer_id = ANY($1::bigint[])""",
        list(index),
    )
    while rows := await cursor.fetch(_CHUNK):
        _fold_in(state, rows, index, sources, rulebook, vault)
    return state


def _fold_in(
    state: Refolded,
    rows: Sequence[asyncpg.Record],
    index: dict[int, int],
    sources: dict[int, str],
    rulebook: Rulebook,
    vault: Vault,
) -> None:
    """Folding is commutative: neither the order of the rows nor where a chunk ends makes a difference."""
    interactions: list[Interaction] = []
    owners: list[int] = []
    for row in rows:
        owner = index[row["customer_id"]]
        state.interactions[owner] += 1
        try:
            interactions.append(stored_interaction(row, sources[row["source_id"]], vault))
        except (NotSealedHere, msgspec.MsgspecError, ValueError):
            state.unreadable.setdefault(owner, []).append(row["id"])
        else:
            owners.append(owner)
    held = (state.ledgers, [attributes.pack(one) for one in state.attributes])
    nobody_merges = np.arange(len(state.ledgers))
    folded = fold(interactions, np.array(owners, np.int64), held, nobody_merges, rulebook, vault)
    state.ledgers = packed_ledger.pack(folded.ledgers, rulebook.fold_version)
    state.attributes = folded.attributes
    state.first_seen = _bounds(min, state.first_seen, folded.first_seen)
    state.last_seen = _bounds(max, state.last_seen, folded.last_seen)


def stored_interaction(row: asyncpg.Record, source: str, vault: Vault) -> Interaction:
    """A row of the table `interactions`, without identifiers, of which only hashes are stored: matching needs none.
    Raises NotSealedHere, msgspec.MsgspecError, ValueError where its bytes cannot be read."""
    body = unpack_body(row["body"], vault, masked=False)
    return Interaction(
        id=row["id"],
        source=source,
        time=row["time"],
        received=row["received"],
        channel=row["channel"],
        type=row["type"],
        identifiers={},
        attributes=body.attributes,
        updates=None if body.updates is None else msgspec.convert(body.updates, Updates),
        properties=body.properties,
        scored=body.scored,
    )


def _bounds(
    choose: Callable[[Iterable[datetime]], datetime],
    held: Sequence[datetime | None],
    added: Sequence[datetime | None],
) -> list[datetime | None]:
    pairs = zip(held, added, strict=True)
    known = [[moment for moment in pair if moment is not None] for pair in pairs]
    return [choose(moments) if moments else None for moments in known]
