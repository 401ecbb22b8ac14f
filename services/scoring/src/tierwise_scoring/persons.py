"""Persons: who is who among some customers by their stored interactions and the rulings, and which id each keeps.

A customer's id goes with the interaction that it began with. So one that was merged away is back when what it began
with is apart again, and a person who never had an id of their own gets a new one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from tierwise.domain.source import BY_HAND
from tierwise.domain.ties import Naming, components, is_erased, tie_of
from tierwise.folding.checkpoints import read_checkpoints
from tierwise_scoring.identifiers import find_identifiers
from tierwise_scoring.rulings import read_rulings

_NO_KEY = b""
_CHUNK = 10_000  # interactions in memory at once beside what is kept of each


class Stored(NamedTuple):
    """A stored interaction, or a checkpoint, which is one that ties what its interactions tied and cannot be divided.
    `customer_id`: as stored, so that of a merged customer for what came before the merge. `left_out`: the identifiers
    that it names and does not tie."""

    customer_id: int
    time: datetime
    key: bytes
    received: datetime
    tie: tuple[bytes, ...]
    left_out: tuple[bytes, ...]

    @property
    def is_checkpoint(self) -> bool:
        return self.key == _NO_KEY


@dataclass(frozen=True, slots=True)
class Group:
    """Customers with all that they did; nobody else has an identifier of theirs. `person`: of each id, merged ones
    too, the customer that stands for it until now. `stored`: what counts; `erased`: what does not any more."""

    person: dict[int, int]
    stored: list[Stored]
    erased: list[Stored]


@dataclass(frozen=True, slots=True)
class Persons:
    """`component`: what stands for all identifiers that are connected with one; `owner`: the id of such a component;
    `fresh`: those that have none yet; `begun`: the component with which each former id goes, where any is left."""

    component: Mapping[bytes, bytes]
    owner: dict[bytes, int]
    fresh: list[bytes]
    begun: dict[int, bytes]

    def with_ids(self, ids: Iterable[int]) -> "Persons":
        """With new ids for the fresh ones."""
        return Persons(self.component, self.owner | dict(zip(self.fresh, ids, strict=True)), [], self.begun)

    def of(self, hash_: bytes) -> int:
        """Whose a tied identifier is."""
        return self.owner[self.component[hash_]]

    def into(self, customer_id: int) -> int | None:
        """Who stands for a former id from now on; None where nothing is left of it."""
        return self.owner[self.begun[customer_id]] if customer_id in self.begun else None


async def read_group(tx: asyncpg.Connection, customers: Collection[int]) -> Group:
    """These, and whoever else the rulings tie with them. `tx`: nobody else resolves identities meanwhile."""
    ids = set(customers)
    while True:
        group = await _read(tx, ids)
        ties = {hash_ for one in group.stored for hash_ in one.tie}
        holders = set((await find_identifiers(tx, sorted(ties))).values())
        if holders <= ids:
            return _of_whom_something_is_stored(group)
        ids |= holders


def _of_whom_something_is_stored(group: Group) -> Group:
    """Of the others nothing can be said."""
    known = {group.person[one.customer_id] for part in (group.stored, group.erased) for one in part}
    return replace(group, person={id_: person for id_, person in group.person.items() if person in known})


async def _read(tx: asyncpg.Connection, ids: Collection[int]) -> Group:
    people = await tx.fetch(
        """SELECT id, coalesce(merged_into, id) FROM customers
           WHERE id = ANY($1::bigint[]) OR merged_into = ANY($1::bigint[]) ORDER BY id""",
        list(ids),
    )
    group = Group(dict(people), [], [])
    await _read_checkpoints(tx, group)
    cursor = await tx.cursor(
        """SELECT held.customer_id, held.time, held.key, held.received, held.identifiers, held.links,
                  sources.name = $2 AS by_hand
           FROM interactions AS held JOIN sources ON sources.id = held.source_id
           WHERE held.customer_id = ANY($1::bigint[])""",
        list(group.person),
        BY_HAND,
    )
    while rows := await cursor.fetch(_CHUNK):
        rulings = await read_rulings(tx, {hash_ for row in rows for hash_ in row["identifiers"]})
        for row in rows:
            naming = Naming(row["identifiers"], row["links"], row["by_hand"], row["time"], row["received"])
            tie = tie_of(naming, rulings)
            left_out = [hash_ for hash_ in naming.hashes if hash_ not in tie] if naming.links else []
            at = row["customer_id"], row["time"], row["key"], row["received"]
            one = Stored(*at, tuple(tie), tuple(left_out))
            (group.erased if is_erased(naming, rulings) else group.stored).append(one)
    return group


async def _read_checkpoints(tx: asyncpg.Connection, group: Group) -> None:
    checkpoints = await read_checkpoints(tx, group.person)
    rulings = await read_rulings(tx, {hash_ for one in checkpoints for hash_ in one.identifiers})
    for one in checkpoints:
        # What splits up to `ruled_at` said is done: to those it is as if a person had tied it.
        naming = Naming(one.identifiers, True, True, one.ruled_at + timedelta(microseconds=1), one.received)
        tie = tie_of(naming, rulings)
        left_out = [hash_ for hash_ in naming.hashes if hash_ not in tie]
        stored = Stored(one.customer_id, one.first_seen, _NO_KEY, one.received, tuple(tie), tuple(left_out))
        erased = is_erased(naming._replace(time=one.first_seen), rulings)
        (group.erased if erased else group.stored).append(stored)


def persons_of(group: Group) -> Persons:
    """A function of what is stored and of the rulings alone, but for the new ids."""
    component = components(one.tie for one in group.stored)
    first: dict[int, tuple[datetime, bytes, bytes]] = {}
    began: dict[bytes, tuple[datetime, bytes]] = {}
    for one in group.stored:
        of = component[one.tie[0]]
        came = (one.received, one.key)
        began[of] = min(began.get(of, came), came)
        first[one.customer_id] = min(first.get(one.customer_id, (*came, of)), (*came, of))
    earliest: dict[int, tuple[datetime, bytes, bytes]] = {}
    for id_, came_first in first.items():
        person = group.person[id_]
        earliest[person] = min(earliest.get(person, came_first), came_first)
    for id_, person in group.person.items():  # whoever has nothing of their own goes with the rest of the person
        if id_ not in first and person in earliest:
            first[id_] = earliest[person]
    owner: dict[bytes, int] = {}
    for id_ in sorted(first):
        owner.setdefault(first[id_][2], id_)
    fresh = sorted(began.keys() - owner.keys(), key=began.__getitem__)
    return Persons(component, owner, fresh, {id_: of for id_, (_, _, of) in first.items()})


def stored_under(group: Group, persons: Persons) -> list[tuple[Stored, int]]:
    """Interactions that are to be stored under another id, each with that: all others may stay under the id that they
    came with, which stands for the same person."""
    return [
        (one, owner)
        for one in group.stored
        if one.customer_id != (owner := persons.of(one.tie[0])) and persons.into(one.customer_id) != owner
    ]


def touched(group: Group, persons: Persons) -> set[int]:
    """The customers, former and present, that have gained or lost an interaction."""
    lost = {group.person[one.customer_id] for one in group.erased}
    moved = [(group.person[one.customer_id], persons.of(one.tie[0])) for one in group.stored]
    return lost.union(*(pair for pair in moved if pair[0] != pair[1]))
