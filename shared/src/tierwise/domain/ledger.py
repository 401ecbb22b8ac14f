"""The ledger: a customer's state as rows (signal, day, last second, count, value), integers only.

Folding and merging are exact, commutative and associative, so the same interactions give the same bytes in any
order, batching or partitioning, and two customers merge by adding their rows.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from tierwise.domain.runs import Ints as Ints
from tierwise.domain.runs import run_starts, run_sums

SIGNAL_BITS, DAY_BITS = 28, 16
NAMED_BITS = SIGNAL_BITS - 2
VALUE_MAX = 1 << 62
"""So many minor units of one signal and customer at most: far from where 64 bits end."""

CUSTOMERS_MAX = 1 << (63 - SIGNAL_BITS - DAY_BITS)
"""So many customers at once: customer, signal and day together are one sortable int64."""


def signal_id(name: str) -> int:
    """The stable 26-bit id of a signal, made from its name: BLAKE2b, so that no list of ids has to be kept. The ids
    above are those of `dynamic_signals`."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little") >> (32 - NAMED_BITS)


@dataclass(frozen=True, slots=True)
class Ledgers:
    """The rows of `customers` many customers, ordered by (customer, signal, day), each triple once.

    `customer`: index from 0; `signal`: see `signal_id`; `day`: business day (`calendar`); `last`: the last second of
    that day; `count`: occurrences; `value`: minor units of the base currency. All int64, all of one length.
    """

    customers: int
    customer: Ints
    signal: Ints
    day: Ints
    last: Ints
    count: Ints
    value: Ints

    def __len__(self) -> int:
        return len(self.customer)

    def where(self, rows: npt.NDArray[np.bool_]) -> "Ledgers":
        """The ledgers with only those rows."""
        columns = (self.customer, self.signal, self.day, self.last, self.count, self.value)
        return Ledgers(self.customers, *(column[rows] for column in columns))

    def only(self, customers: Ints) -> "Ledgers":
        """The ledgers of these customers (ascending indexes), renumbered from 0."""
        new_index = np.full(self.customers, -1)
        new_index[customers] = np.arange(len(customers))
        customer = new_index[self.customer]
        rows = np.flatnonzero(customer >= 0)
        return Ledgers(
            len(customers),
            customer[rows],
            self.signal[rows],
            self.day[rows],
            self.last[rows],
            self.count[rows],
            self.value[rows],
        )


def empty(customers: int) -> Ledgers:
    none = np.empty(0, np.int64)
    return Ledgers(customers, none, none, none, none, none, none)


def fold(ledgers: Ledgers, added: Ledgers) -> Ledgers:
    """The ledgers with the rows of `added` (in any order, repeated triples allowed, same numbering of customers).

    Raises OverflowError when a customer's sum of a signal would not be exact any more.
    """
    _check_sums(ledgers, added)
    rows = _sorted(added)
    if not len(ledgers) or not len(rows):
        return rows if len(rows) else ledgers
    old, new = _keys(ledgers), _keys(rows)
    place = np.searchsorted(old, new)
    known = old[np.minimum(place, len(old) - 1)] == new
    place += np.cumsum(~known) - ~known  # as many have come in before
    fresh = np.flatnonzero(~known)
    stays = np.flatnonzero(~_mask(len(old) + len(fresh), place[fresh]))
    columns = []
    for held, given in zip(_columns(ledgers), _columns(rows), strict=True):
        column = np.empty(len(old) + len(fresh), np.int64)
        column[stays] = held
        column[place[fresh]] = given[fresh]
        columns.append(column)
    customer, signal, day, last, count, value = columns
    again, more = np.flatnonzero(known), place[known]
    last[more] = np.maximum(last[more], rows.last[again])
    count[more] += rows.count[again]
    value[more] += rows.value[again]
    return Ledgers(ledgers.customers, customer, signal, day, last, count, value)


def _sorted(rows: Ledgers) -> Ledgers:
    """Ordered, each triple once."""
    key = _keys(rows)
    order = np.argsort(key)  # in any order within a triple: sums and maxima do not depend on it
    first = run_starts(key[order])
    if not len(first):
        return rows
    taken, bounds = order[first], np.append(first, len(rows))
    return Ledgers(
        rows.customers,
        rows.customer[taken],
        rows.signal[taken],
        rows.day[taken],
        np.maximum.reduceat(rows.last[order], first),
        run_sums(rows.count[order], bounds),
        run_sums(rows.value[order], bounds),
    )


def _keys(rows: Ledgers) -> Ints:
    """(customer, signal, day) as one number, which orders rows."""
    key = rows.customer << SIGNAL_BITS
    key |= rows.signal
    key <<= DAY_BITS
    key |= rows.day
    return key


def merge(ledgers: Ledgers, winner: Ints) -> Ledgers:
    """Add up customers: `winner[i]` is the index of the customer that i's rows go to (its own where it stays)."""
    moved = Ledgers(ledgers.customers, winner[ledgers.customer], *_columns(ledgers)[1:])
    return fold(empty(ledgers.customers), moved)


def compact(ledgers: Ledgers, horizon_day: int) -> Ledgers:
    """Fold all rows before `horizon_day` into at most two a signal: the first day, which keeps nothing but the day and
    its last second, and the last one, which takes every count and value. Totals, first day and last second stay
    exact; folding, merging and compacting in any order end with the same rows. What is compact already costs little."""
    old = ledgers.day < horizon_day
    if not old.any():
        return ledgers
    rows = ledgers.where(old)
    group = rows.customer << SIGNAL_BITS | rows.signal
    starts = run_starts(group)
    bounds = np.append(starts, len(rows))
    ends = bounds[1:] - 1
    several = ends > starts
    again = starts[several]
    if (ends - starts <= 1).all() and not (rows.count[again].any() or rows.value[again].any()):
        return ledgers
    first = rows.where(_mask(len(rows), starts[several]))
    zeros = np.zeros(len(first), np.int64)
    marker = Ledgers(rows.customers, first.customer, first.signal, first.day, first.last, zeros, zeros)
    total = Ledgers(
        rows.customers,
        rows.customer[ends],
        rows.signal[ends],
        rows.day[ends],
        rows.last[ends],
        run_sums(rows.count, bounds),
        run_sums(rows.value, bounds),
    )
    return fold(fold(ledgers.where(~old), total), marker)


def _check_sums(*several: Ledgers) -> None:
    """Sums of amounts are exact as long as no (customer, signal) has more than VALUE_MAX in all."""
    largest = max(_largest(ledgers.value) for ledgers in several)
    if largest * sum(map(len, several)) <= VALUE_MAX:
        return
    group = np.concatenate([ledgers.customer << SIGNAL_BITS | ledgers.signal for ledgers in several])
    order = np.argsort(group)
    value = np.abs(np.concatenate([ledgers.value for ledgers in several]).astype(np.float64))
    if (np.add.reduceat(value[order], run_starts(group[order])) > VALUE_MAX).any():
        raise OverflowError("a customer's amounts add up to more than can be counted exactly")


def _largest(value: Ints) -> int:
    """Without sign."""
    return max(int(value.max(initial=0)), -int(value.min(initial=0)))


def _mask(length: int, indexes: Ints) -> npt.NDArray[np.bool_]:
    mask = np.zeros(length, np.bool_)
    mask[indexes] = True
    return mask


def _columns(ledgers: Ledgers) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    return ledgers.customer, ledgers.signal, ledgers.day, ledgers.last, ledgers.count, ledgers.value
