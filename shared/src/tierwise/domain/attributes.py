"""Attributes: what is known of a customer, as a commutative monoid.

Each attribute keeps the moment and the interaction's key that it came from; `latest` keeps the greatest of these,
`first` the least, so the order of arrival does not matter. A value of None unsets and is kept as a tombstone.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec


class Kind(IntEnum):
    LATEST = 0
    FIRST = 1


class Entry(NamedTuple):
    """`time_us`: microseconds since 1970 UTC; `key`: the interaction's key, which breaks ties.
    `value`: JSON, or bytes where it is sealed personal data."""

    kind: int
    time_us: int
    key: bytes
    value: Any


Attributes = dict[str, Entry]

RESERVED = ("acquisition.", "override.")
"""Prefixes of the attributes that Tierwise makes itself; a source cannot send them."""

_encoder = msgspec.msgpack.Encoder(order="sorted")
_decoder = msgspec.msgpack.Decoder(dict[str, Entry])
_EMPTY = _encoder.encode({})


def merge(into: Attributes, entries: Iterable[tuple[str, Entry]]) -> None:
    """Take the entries in, in place."""
    for name, entry in entries:
        held = into.get(name)
        if held is None or _prefers(entry, held):
            into[name] = entry


def values(attributes: Attributes) -> dict[str, Any]:
    """Name to value, without what is unset."""
    return {name: entry.value for name, entry in attributes.items() if entry.value is not None}


def entries_of(given: Mapping[str, Any], *, time_us: int, key: bytes) -> list[tuple[str, Entry]]:
    """The entries that one interaction's attributes make."""
    return [(name, Entry(Kind.LATEST, time_us, key, value)) for name, value in given.items()]


def pack(attributes: Attributes) -> bytes:
    return _encoder.encode(attributes) if attributes else _EMPTY


def unpack(packed: bytes) -> Attributes:
    """Raises msgspec.MsgspecError when the bytes are no attributes."""
    return _decoder.decode(packed) if packed != _EMPTY else {}


def _prefers(new: Entry, held: Entry) -> bool:
    if new.kind == Kind.FIRST:
        return (new.time_us, new.key) < (held.time_us, held.key)
    return (new.time_us, new.key) > (held.time_us, held.key)
