"""Folding a batch into the customers that it touches: merged ledgers, new rows, attributes, first and last seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from tierwise.domain import attributes as attribute
from tierwise.domain import ledger, packed_ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.dynamic_signals import keep_interests
from tierwise.domain.interaction import Interaction
from tierwise.domain.learn import learned
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.match import match, microseconds
from tierwise.domain.rulebook import Rulebook
from tierwise.security.personal import Vault
from tierwise.security.values import Sealer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Folded:
    """State by customer, after the batch. `attributes_moved[i]`: whether customer i's attributes are others now.
    `first_seen`, `last_seen`: of this batch's interactions alone, None for customers that have none in it."""

    ledgers: Ledgers
    attributes: list[Attributes]
    attributes_moved: list[bool]
    first_seen: list[datetime | None]
    last_seen: list[datetime | None]


def fold(
    interactions: Sequence[Interaction],
    owner: Ints,
    held: tuple[Sequence[bytes], Sequence[bytes]],
    winner: Ints,
    rulebook: Rulebook,
    vault: Vault,
) -> Folded:
    """`owner[i]`: the index of interaction i's customer. `held`: the packed ledgers and attributes of the customers.
    `winner[c]`: the index of the customer that c is merged into, c itself where it is not."""
    packed_ledgers, packed_attributes = held
    ledgers = packed_ledger.unpack(packed_ledgers)
    if (winner != np.arange(len(winner))).any():
        ledgers = ledger.merge(ledgers, winner)
    rows = match(interactions, rulebook)
    rows = Ledgers(len(winner), owner[rows.customer], rows.signal, rows.day, rows.last, rows.count, rows.value)
    attributes, moved = _fold_attributes(interactions, owner, packed_attributes, winner, rulebook, vault)
    ledgers = keep_interests(ledger.fold(ledgers, rows))
    return Folded(ledgers, attributes, moved, *_seen(interactions, owner, len(winner)))


def _fold_attributes(
    interactions: Sequence[Interaction],
    owner: Ints,
    packed: Sequence[bytes],
    winner: Ints,
    rulebook: Rulebook,
    vault: Vault,
) -> tuple[list[Attributes], list[bool]]:
    attributes = [attribute.unpack(one) for one in packed]
    moved = [False] * len(attributes)
    for loser in np.flatnonzero(winner != np.arange(len(winner))).tolist():
        moved[winner[loser]] |= attribute.merge(attributes[winner[loser]], attributes[loser].items())
    for index, entries in learned(interactions, rulebook, Sealer(vault)):
        customer = int(owner[index])
        moved[customer] |= attribute.merge(attributes[customer], entries)
    return attributes, moved


def _seen(
    interactions: Sequence[Interaction], owner: Ints, customers: int
) -> tuple[list[datetime | None], list[datetime | None]]:
    moments = np.fromiter((microseconds(one) for one in interactions), np.int64, len(interactions))
    never = np.iinfo(np.int64).max
    first, last = np.full(customers, never), np.full(customers, -1)
    np.minimum.at(first, owner, moments)
    np.maximum.at(last, owner, moments)
    some = (last >= 0).tolist()
    return _datetimes(first, some), _datetimes(last, some)


def _datetimes(moments: Ints, some: list[bool]) -> list[datetime | None]:
    return [
        _EPOCH + timedelta(microseconds=moment) if known else None
        for moment, known in zip(moments.tolist(), some, strict=True)
    ]
