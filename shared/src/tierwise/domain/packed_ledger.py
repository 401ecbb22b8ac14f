"""How a customer's ledger is stored, in about half of what its columns take.

After the header (format, fold version, number of
rows) stand the keys of all rows, in their order, and then what of counts and values does not go without saying: counts
of one byte, counts of four, values. A key is signal, day, last second and three bits, from the high bits down, so that
it orders rows. The bits say how the row's count is told (it is 1; in one byte; in four) and whether it has a value
other than 0.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from tierwise.domain.ledger import DAY_BITS, Ints, Ledgers

_FORMAT: Final = b"\x02"
_VERSION_BYTES: Final = 4
_VERSIONED_BYTES: Final = len(_FORMAT) + _VERSION_BYTES
_HEADER_BYTES: Final = _VERSIONED_BYTES + 4

_SECOND_BITS: Final = 17  # a business day has up to 25 hours
_TELLING_BITS: Final = 3
_TELLING: Final = 0b111
_HAS_VALUE: Final = 1
_IN_ONE_BYTE: Final = 2
_IN_FOUR: Final = 4
_DAY_AT: Final = _SECOND_BITS + _TELLING_BITS
_SIGNAL_AT: Final = DAY_BITS + _DAY_AT

_KEY: Final = np.dtype("<u8")
_PARTS: Final = ((_IN_ONE_BYTE, np.dtype("u1")), (_IN_FOUR, np.dtype("<u4")), (_HAS_VALUE, np.dtype("<i8")))
"""What follows the keys: the bit that says that a row has it, and how it is stored."""

_COUNTED_BITS: Final = 32
_COUNTED: Final = (1 << _COUNTED_BITS) - 1
_HAS: Final = [
    sum(1 << place * _COUNTED_BITS for place, (bit, _) in enumerate(_PARTS) if told & bit) for told in range(8)
]
"""What a row has, so that a sum of these counts all three at once."""


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
    has = sum([_HAS[key & _TELLING] for key in keys])
    ones, fours, values = has & _COUNTED, has >> _COUNTED_BITS & _COUNTED, has >> 2 * _COUNTED_BITS
    if len(packed) != at + ones + 4 * fours + 8 * values:
        raise _damaged()
    one = iter(packed[at : at + ones])
    four = iter(np.frombuffer(packed, "<u4", fours, at + ones).tolist() if fours else ())
    value = iter(np.frombuffer(packed, "<i8", values, at + ones + 4 * fours).tolist() if values else ())
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
