"""The ledger: a customer's state as rows (signal, day, last second, count, value), integers only.

Folding and merging are exact, commutative and associative, so the same interactions give the same bytes in any
order, batching or partitioning, and two customers merge by adding their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

SIGNAL_BITS, DAY_BITS, SECOND_BITS = 28, 16, 20
VALUE_MAX = 1 << 62
"""So many minor units of one signal and customer at most: far from where 64 bits end."""

CUSTOMERS_MAX = 1 << (63 - SIGNAL_BITS - DAY_BITS)
"""So many customers at once: customer, signal and day together are one sortable int64."""

ROW = np.dtype([("key", "<u8"), ("count", "<u4"), ("value", "<i8")])
"""A stored row, 20 bytes. `key`: signal, day and last second from the high bits down, so that it orders rows."""

_FORMAT = b"\x01"
_HEADER_BYTES = 5  # the format, then the fold version

Ints = npt.NDArray[np.int64]


def signal_id(name: str) -> int:
    """The stable 28-bit id of a signal, made from its name: BLAKE2b, so that no list of ids has to be kept."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little") >> (32 - SIGNAL_BITS)


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
        kept = self.where(new_index[self.customer] >= 0)
        return Ledgers(
            len(customers),
            new_index[kept.customer],
            kept.signal,
            kept.day,
            kept.last,
            kept.count,
            kept.value,
        )


def empty(customers: int) -> Ledgers:
    none = np.empty(0, np.int64)
    return Ledgers(customers, none, none, none, none, none, none)


def fold(ledgers: Ledgers, added: Ledgers) -> Ledgers:
    """The ledgers with the rows of `added` (in any order, repeated triples allowed, same numbering of customers).

    Raises OverflowError when a customer's sum of a signal would not be exact any more.
    """
    columns = [np.concatenate(pair) for pair in zip(_columns(ledgers), _columns(added), strict=True)]
    customer, signal, day, last, count, value = columns
    key = customer << (SIGNAL_BITS + DAY_BITS) | signal << DAY_BITS | day
    # Stable: `ledgers` is sorted already, which timsort-like merging takes as one run.
    order = np.argsort(key, kind="stable")
    first = run_starts(key[order])
    if not len(first):
        return ledgers
    taken = order[first]
    _check_sums(key[order] >> DAY_BITS, value[order])
    return Ledgers(
        ledgers.customers,
        customer[taken],
        signal[taken],
        day[taken],
        np.maximum.reduceat(last[order], first),
        np.add.reduceat(count[order], first),
        np.add.reduceat(value[order], first),
    )


def merge(ledgers: Ledgers, winner: Ints) -> Ledgers:
    """Add up customers: `winner[i]` is the index of the customer that i's rows go to (its own where it stays)."""
    moved = Ledgers(ledgers.customers, winner[ledgers.customer], *_columns(ledgers)[1:])
    return fold(empty(ledgers.customers), moved)


def pack(ledgers: Ledgers, fold_version: int) -> list[bytes]:
    """One stored ledger a customer. `fold_version`: of the rulebook's signals, by which the rows were made."""
    rows = np.empty(len(ledgers), ROW)
    rows["key"] = ((ledgers.signal << DAY_BITS | ledgers.day) << SECOND_BITS | ledgers.last).astype(np.uint64)
    rows["count"] = ledgers.count
    rows["value"] = ledgers.value
    data = rows.tobytes()
    ends = np.searchsorted(ledgers.customer, np.arange(ledgers.customers), side="right") * ROW.itemsize
    header = _header(fold_version)
    start, packed = 0, []
    for end in ends.tolist():
        packed.append(header + data[start:end])
        start = end
    return packed


def unpack(packed: Sequence[bytes]) -> Ledgers:
    """The inverse of `pack`. Raises ValueError for a format that this version does not know."""
    if any(ledger[:1] != _FORMAT for ledger in packed):
        raise ValueError("a stored ledger has a format that this version of Tierwise does not know")
    lengths = np.fromiter((len(ledger) - _HEADER_BYTES for ledger in packed), np.int64, len(packed))
    rows = np.frombuffer(b"".join(ledger[_HEADER_BYTES:] for ledger in packed), ROW)
    key = rows["key"]
    return Ledgers(
        len(packed),
        np.repeat(np.arange(len(packed)), lengths // ROW.itemsize),
        (key >> np.uint64(DAY_BITS + SECOND_BITS)).astype(np.int64),
        (key >> np.uint64(SECOND_BITS) & np.uint64((1 << DAY_BITS) - 1)).astype(np.int64),
        (key & np.uint64((1 << SECOND_BITS) - 1)).astype(np.int64),
        rows["count"].astype(np.int64),
        rows["value"].astype(np.int64),
    )


def fold_version_of(packed: bytes) -> int:
    """The fold version that a stored ledger names."""
    return int.from_bytes(packed[1:_HEADER_BYTES], "little")


def folded_by(packed: Sequence[bytes], fold_version: int) -> npt.NDArray[np.bool_]:
    """Which stored ledgers name this fold version."""
    header = _header(fold_version)
    return np.fromiter((ledger.startswith(header) for ledger in packed), np.bool_, len(packed))


def _header(fold_version: int) -> bytes:
    return _FORMAT + fold_version.to_bytes(_HEADER_BYTES - 1, "little")


def compact(ledgers: Ledgers, horizon_day: int) -> Ledgers:
    """Fold all rows before `horizon_day` into at most two a signal: the first day, which keeps nothing but the day and
    its last second, and the last one, which takes every count and value. Totals, first day and last second stay
    exact; folding, merging and compacting in any order end with the same rows."""
    old = ledgers.day < horizon_day
    if not old.any():
        return ledgers
    rows = ledgers.where(old)
    group = rows.customer << SIGNAL_BITS | rows.signal
    starts = run_starts(group)
    ends = np.append(starts[1:], len(rows)) - 1
    several = ends > starts
    first = rows.where(_mask(len(rows), starts[several]))
    zeros = np.zeros(len(first), np.int64)
    marker = Ledgers(rows.customers, first.customer, first.signal, first.day, first.last, zeros, zeros)
    total = Ledgers(
        rows.customers,
        rows.customer[ends],
        rows.signal[ends],
        rows.day[ends],
        rows.last[ends],
        np.add.reduceat(rows.count, starts),
        np.add.reduceat(rows.value, starts),
    )
    return fold(fold(ledgers.where(~old), total), marker)


def run_starts(keys: Ints) -> Ints:
    """Where each run of equal keys begins."""
    return np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))


def _check_sums(groups: Ints, value: Ints) -> None:
    """Sums of amounts are exact as long as no (customer, signal) has more than VALUE_MAX in all."""
    if int(np.abs(value).max()) * len(value) <= VALUE_MAX:
        return
    sums = np.add.reduceat(np.abs(value.astype(np.float64)), run_starts(groups))
    if (sums > VALUE_MAX).any():
        raise OverflowError("a customer's amounts add up to more than can be counted exactly")


def _mask(length: int, indexes: Ints) -> npt.NDArray[np.bool_]:
    mask = np.zeros(length, np.bool_)
    mask[indexes] = True
    return mask


def _columns(ledgers: Ledgers) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    return ledgers.customer, ledgers.signal, ledgers.day, ledgers.last, ledgers.count, ledgers.value
