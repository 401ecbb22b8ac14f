"""The ledger: a customer's state as rows (signal, day, last second, count, value), integers only.

Folding and merging are exact, commutative and associative, so the same interactions give the same bytes in any
order, batching or partitioning, and two customers merge by adding their rows.

Stored, a customer's ledger is about half of what its columns take. After the header (format, fold version, number of
rows) stand the keys of all rows, in their order, and then what of counts and values does not go without saying: counts
of one byte, counts of four, values. A key is signal, day, last second and three bits, from the high bits down, so that
it orders rows. The bits say how the row's count is told (it is 1; in one byte; in four) and whether it has a value
other than 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Final

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

_FORMAT: Final = b"\x02"
_VERSION_BYTES: Final = 4
_VERSIONED_BYTES: Final = len(_FORMAT) + _VERSION_BYTES
_HEADER_BYTES: Final = _VERSIONED_BYTES + 4

_SECOND_BITS: Final = 17  # a business day has up to 25 hours
_TELLING_BITS: Final = 3
_HAS_VALUE: Final = 1
_IN_ONE_BYTE: Final = 2
_IN_FOUR: Final = 4
_DAY_AT: Final = _SECOND_BITS + _TELLING_BITS
_SIGNAL_AT: Final = DAY_BITS + _DAY_AT

_KEY: Final = np.dtype("<u8")
_PARTS: Final = ((_IN_ONE_BYTE, np.dtype("u1")), (_IN_FOUR, np.dtype("<u4")), (_HAS_VALUE, np.dtype("<i8")))
"""What follows the keys: the bit that says that a row has it, and how it is stored."""


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


def pack(ledgers: Ledgers, fold_version: int) -> list[bytes]:
    """One stored ledger a customer. `fold_version`: of the rulebook's signals, by which the rows were made."""
    told = np.where(ledgers.count == 1, 0, np.where(ledgers.count < 256, _IN_ONE_BYTE, _IN_FOUR))
    told |= np.where(ledgers.value != 0, _HAS_VALUE, 0)
    key = ((ledgers.signal << DAY_BITS | ledgers.day) << _SECOND_BITS | ledgers.last) << _TELLING_BITS | told
    bounds = np.searchsorted(ledgers.customer, np.arange(ledgers.customers + 1))
    rows = np.diff(bounds).astype("<u4").tobytes()
    pieces = [_cut(key.astype(_KEY).tobytes(), bounds * _KEY.itemsize)]
    for bit, kind in _PARTS:
        has = told & bit != 0
        if has.any():
            column = ledgers.value if bit == _HAS_VALUE else ledgers.count
            before = np.append(0, np.cumsum(has))[bounds]
            pieces.append(_cut(column[has].astype(kind).tobytes(), before * kind.itemsize))
    header = _header(fold_version)
    return [
        b"".join((header, rows[4 * index : 4 * index + 4], *parts))
        for index, parts in enumerate(zip(*pieces, strict=True))
    ]


def _cut(data: bytes, bounds: Ints) -> Iterator[bytes]:
    """The bytes from each bound to the next one."""
    at = bounds.tolist()
    return (data[start:end] for start, end in pairwise(at))


def unpack(packed: Sequence[bytes]) -> Ledgers:
    """The inverse of `pack`. Raises ValueError for a format that this version does not know, and where bytes lack or
    are left over."""
    if not all(ledger.startswith(_FORMAT) for ledger in packed):
        raise _unknown()
    told = b"".join([ledger[_VERSIONED_BYTES:_HEADER_BYTES] for ledger in packed])
    rows = np.frombuffer(told, "<u4").astype(np.int64)
    at = np.full(len(packed), _HEADER_BYTES)
    key = _read(packed, at, rows, _KEY).astype(np.int64)
    customer = np.repeat(np.arange(len(packed)), rows)
    count, value = np.ones(len(key), np.int64), np.zeros(len(key), np.int64)
    at += rows * _KEY.itemsize
    for bit, kind in _PARTS:
        has = np.flatnonzero(key & bit)
        if len(has):
            many = np.bincount(customer[has], minlength=len(packed))
            (value if bit == _HAS_VALUE else count)[has] = _read(packed, at, many, kind)
            at += many * kind.itemsize
    if (at != np.fromiter(map(len, packed), np.int64, len(packed))).any():
        raise _damaged()
    return Ledgers(
        len(packed),
        customer,
        key >> _SIGNAL_AT & _mask_of(64 - _SIGNAL_AT),
        key >> _DAY_AT & _mask_of(DAY_BITS),
        key >> _TELLING_BITS & _mask_of(_SECOND_BITS),
        count,
        value,
    )


def _read(packed: Sequence[bytes], start: Ints, many: Ints, kind: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    """`many[i]` numbers from byte `start[i]` of each ledger on, one after the other."""
    ends = start + many * kind.itemsize
    cut = [ledger[first:end] for ledger, first, end in zip(packed, start.tolist(), ends.tolist(), strict=True)]
    return np.frombuffer(b"".join(cut), kind)


def rows_of(packed: bytes) -> list[tuple[int, int, int, int]]:
    """(signal, day, count, value) of each row of one customer: for few rows, an eighth of the time of `unpack` and of
    what arrays cost. Raises as `unpack`."""
    if not packed.startswith(_FORMAT):
        raise _unknown()
    many = int.from_bytes(packed[_VERSIONED_BYTES:_HEADER_BYTES], "little")
    keys = np.frombuffer(packed, _KEY, many, _HEADER_BYTES).tolist()
    at = _HEADER_BYTES + many * _KEY.itemsize
    parts = {}
    for bit, kind in _PARTS:
        has = sum(1 for key in keys if key & bit)
        parts[bit] = iter(np.frombuffer(packed, kind, has, at).tolist() if has else ())
        at += has * kind.itemsize
    if at != len(packed):
        raise _damaged()
    one, four, value = (parts[bit] for bit in (_IN_ONE_BYTE, _IN_FOUR, _HAS_VALUE))
    days = _mask_of(DAY_BITS)
    return [
        (
            key >> _SIGNAL_AT,
            key >> _DAY_AT & days,
            next(one) if key & _IN_ONE_BYTE else next(four) if key & _IN_FOUR else 1,
            next(value) if key & _HAS_VALUE else 0,
        )
        for key in keys
    ]


def fold_version_of(packed: bytes) -> int:
    """The fold version that a stored ledger names."""
    return int.from_bytes(packed[len(_FORMAT) : _VERSIONED_BYTES], "little")


def folded_by(packed: Sequence[bytes], fold_version: int) -> npt.NDArray[np.bool_]:
    """Which stored ledgers name this fold version."""
    header = _header(fold_version)
    return np.fromiter((ledger.startswith(header) for ledger in packed), np.bool_, len(packed))


def _header(fold_version: int) -> bytes:
    return _FORMAT + fold_version.to_bytes(_VERSION_BYTES, "little")


def _mask_of(bits: int) -> int:
    return (1 << bits) - 1


def _damaged() -> ValueError:
    return ValueError("a stored ledger is damaged: its length is another than its rows say")


def _unknown() -> ValueError:
    return ValueError("a stored ledger has a format that this version of Tierwise does not know")


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
