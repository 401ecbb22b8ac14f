"""Measures: what of a customer may change with every interaction, for sorting, ranges and sums."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.db.facets import INTEREST, UNKNOWN, Value
from tierwise.domain.attributes import Attributes, value_of
from tierwise.domain.dynamic_signals import INTEREST_NAMES
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.ledger import Ints, Ledgers, signal_id
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.book import activity_name
from tierwise.domain.view import PREFERRED_CHANNEL_DAYS

PREFERRED_CHANNEL = "preferred_channel"
_PURCHASE = signal_id("purchase")
_ORDERS_MAX = 2**31 - 1
_ACTIVE = np.array([signal_id(activity_name(channel, active=True)) for channel in CHANNELS])
_CHANNELS = np.array([*CHANNELS, None], object)


class Measures(NamedTuple):
    """One element a customer. `score`: of intent, tenths; `tier_score`: hundredths; `amount`: minor units."""

    score: Ints
    tier_score: Ints
    preferred_channel: npt.NDArray[np.object_]
    orders: Ints
    amount: Ints
    interests: list[list[str]]

    def values(self) -> Iterator[Value]:
        """What is stored as numbers, some of it more than once."""
        for channel in {*self.preferred_channel.tolist()} - {None}:
            yield PREFERRED_CHANNEL, channel
        for interests in self.interests:
            for name in interests:
                yield INTEREST, name

    def arrays(self, places: Sequence[int], numbers: Mapping[Value, int]) -> list[list[Any]]:
        """Of the customers at these places, each column as a statement takes it: interests as numbers with commas."""
        score, tier_score, orders, amount = (
            column[places].tolist() for column in (self.score, self.tier_score, self.orders, self.amount)
        )
        channels = [numbers.get((PREFERRED_CHANNEL, name), UNKNOWN) for name in self.preferred_channel[places]]
        interests = [",".join([str(numbers[INTEREST, name]) for name in self.interests[place]]) for place in places]
        return [score, tier_score, channels, orders, amount, interests]

    def row(self, place: int) -> dict[str, Any]:
        """One customer's, by column."""
        return {name: self[index][place] for index, name in enumerate(self._fields)}


def measures_of(
    ledgers: Ledgers, result: npt.NDArray[np.void], held: Sequence[Attributes], rulebook: Rulebook, today: int
) -> Measures:
    """`today`: the business day that they were classified on. The same as `tierwise.domain.view` shows."""
    bought = ledgers.where(ledgers.signal == _PURCHASE)
    orders, amount = np.zeros(ledgers.customers, np.int64), np.zeros(ledgers.customers, np.int64)
    np.add.at(orders, bought.customer, bought.count)
    np.add.at(amount, bought.customer, bought.value)
    return Measures(
        result["score"].astype(np.int64),
        result["tier_score"].astype(np.int64),
        _preferred_channels(ledgers, today),
        np.minimum(orders, _ORDERS_MAX),
        amount,
        _interests(ledgers, held, rulebook),
    )


def _preferred_channels(ledgers: Ledgers, today: int) -> npt.NDArray[np.object_]:
    """Equals in the order of CHANNELS."""
    recent = (ledgers.day > today - PREFERRED_CHANNEL_DAYS) & (ledgers.day <= today)
    rows = ledgers.where(recent & np.isin(ledgers.signal, _ACTIVE))
    order = np.argsort(_ACTIVE)
    place = order[np.searchsorted(_ACTIVE, rows.signal, sorter=order)]
    counts = np.zeros((ledgers.customers, len(CHANNELS)), np.int64)
    np.add.at(counts, (rows.customer, place), rows.count)
    best: npt.NDArray[np.object_] = _CHANNELS[np.where(counts.any(axis=1), counts.argmax(axis=1), len(CHANNELS))]
    return best


def _interests(ledgers: Ledgers, held: Sequence[Attributes], rulebook: Rulebook) -> list[list[str]]:
    """All of them that can be asked for, in the alphabet's order."""
    names = {signal: name for name, signal in dict(rulebook.interest_ids).items()}
    rows = ledgers.where(np.isin(ledgers.signal, np.fromiter(names, np.int64)))
    found: defaultdict[int, set[str]] = defaultdict(set)
    for customer, signal in zip(rows.customer.tolist(), rows.signal.tolist(), strict=True):
        found[customer].add(names[signal])
    if rulebook.interests_by_hash:
        for customer, attributes in enumerate(held):
            if INTEREST_NAMES in attributes:
                found[customer].update(value_of(attributes, INTEREST_NAMES) or ())
    return [sorted(filter(str.isprintable, found[one])) if one in found else [] for one in range(ledgers.customers)]
