"""Checkpoints: what interactions came to that are not stored any more.

An interaction is either stored or in the checkpoint of the id that it was stored under, never both. So a customer is
their checkpoints and their stored interactions folded together. What is in a checkpoint stays as it was folded, and
cannot be taken apart.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import numpy as np

from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.dynamic_signals import keep_interests
from tierwise.domain.ledger import Ints, Ledgers


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`customer_id`: as interactions name it. `before`: all of its `interactions` happened before then; `received`:
    when the first of them arrived. `identifiers`: what they tied together, the strongest of the first one first;
    `ruled_at`: what splits up to then put apart is not in it, or was tied again. `ledger`, `attributes`: packed, not
    compacted."""

    customer_id: int
    before: datetime
    first_seen: datetime
    last_seen: datetime
    received: datetime
    interactions: int
    ruled_at: datetime
    identifiers: tuple[bytes, ...]
    ledger: bytes
    attributes: bytes


COLUMNS: Final = tuple(field.name for field in fields(Checkpoint))


async def read_checkpoints(tx: asyncpg.Connection, ids: Collection[int]) -> list[Checkpoint]:
    """Those of these ids, as interactions name them, in the order of the ids. Who reads interactions too needs a
    transaction that sees one state of both."""
    rows = await tx.fetch(
        f"SELECT {', '.join(COLUMNS)} FROM checkpoints WHERE customer_id = ANY($1::bigint[]) ORDER BY customer_id",
        list(ids),
    )
    return [checkpoint_of(row) for row in rows]


def checkpoint_of(row: asyncpg.Record) -> Checkpoint:
    """`row`: of COLUMNS."""
    found = Checkpoint(*(row[name] for name in COLUMNS))
    return replace(found, identifiers=tuple(found.identifiers))


class Kept(NamedTuple):
    """How many `customers` have interactions in checkpoints, and `before` when all of these happened."""

    customers: int
    before: datetime | None


async def count_kept(tx: asyncpg.Connection) -> Kept:
    row = await tx.fetchrow(
        """SELECT count(DISTINCT coalesce(merged_into, id)), max(before)
           FROM checkpoints JOIN customers ON id = customer_id"""
    )
    return Kept(*row)


async def write_checkpoints(tx: asyncpg.Connection, checkpoints: Sequence[Checkpoint]) -> None:
    """In the place of those that their ids have."""
    await tx.executemany(
        f"""INSERT INTO checkpoints ({", ".join(COLUMNS)})
            VALUES ({", ".join(f"${number}" for number, _ in enumerate(COLUMNS, 1))})
            ON CONFLICT (customer_id) DO UPDATE
            SET ({", ".join(COLUMNS)}) = ({", ".join(f"excluded.{name}" for name in COLUMNS)})""",
        [tuple(getattr(one, name) for name in COLUMNS) for one in checkpoints],
    )


async def delete_checkpoints(tx: asyncpg.Connection, ids: Collection[int]) -> None:
    await tx.execute("DELETE FROM checkpoints WHERE customer_id = ANY($1::bigint[])", list(ids))


async def move_checkpoints(tx: asyncpg.Connection, into: dict[int, int], fold_version: int) -> None:
    """To other ids, where they add up with what is there. `into`: by the id that they have."""
    held = await read_checkpoints(tx, {*into, *into.values()})
    if not any(one.customer_id in into for one in held):
        return
    await delete_checkpoints(tx, [one.customer_id for one in held])
    moved = (replace(one, customer_id=into.get(one.customer_id, one.customer_id)) for one in held)
    await write_checkpoints(tx, joined(moved, fold_version))


def joined(checkpoints: Iterable[Checkpoint], fold_version: int) -> list[Checkpoint]:
    """Those of the same id as one. `fold_version`: that the ledgers are to name."""
    by_id: dict[int, list[Checkpoint]] = {}
    for one in checkpoints:
        by_id.setdefault(one.customer_id, []).append(one)
    groups = [sorted(group, key=lambda one: (one.first_seen, one.received)) for group in by_id.values()]
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    every = [one for group in groups for one in group]
    ledgers = packed_ledger.pack(added(ledger.empty(len(groups)), every, owner), fold_version)
    return [_joined(group, packed) for group, packed in zip(groups, ledgers, strict=True)]


def _joined(group: Sequence[Checkpoint], packed: bytes) -> Checkpoint:
    held: Attributes = {}
    for one in group:
        attributes.merge(held, attributes.unpack(one.attributes).items())
    return Checkpoint(
        customer_id=group[0].customer_id,
        before=max(one.before for one in group),
        first_seen=group[0].first_seen,
        last_seen=max(one.last_seen for one in group),
        received=min(one.received for one in group),
        interactions=sum(one.interactions for one in group),
        ruled_at=max(one.ruled_at for one in group),
        identifiers=tuple(dict.fromkeys(hash_ for one in group for hash_ in one.identifiers)),
        ledger=packed,
        attributes=attributes.pack(held),
    )


def added(ledgers: Ledgers, checkpoints: Sequence[Checkpoint], owner: Ints) -> Ledgers:
    """The ledgers with those of the checkpoints. `owner[i]`: the index of the customer whose checkpoint i is."""
    rows = packed_ledger.unpack([one.ledger for one in checkpoints])
    mine = Ledgers(ledgers.customers, owner[rows.customer], rows.signal, rows.day, rows.last, rows.count, rows.value)
    return keep_interests(ledger.fold(ledgers, mine))
