"""Attributes: what is known of a customer, as a commutative monoid.

Each attribute keeps the moment and the interaction's key that it came from; `latest` keeps the greatest of these,
`first` the least, so the order of arrival does not matter. A value of None unsets and is kept as a tombstone.
`interests` is a set: of all texts those that `dynamic_signals` keeps. Sums and sets: `attribute_parts`.

A name may be of several kinds; then its value is what was set last, else what was said first. Numbers that were added
since it was set, or unset, are added to it, and texts that were appended since then are appended to it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tierwise.domain import attribute_parts as parts
from tierwise.domain.dynamic_signals import kept_interests
from tierwise.domain.updates import Updates


class Kind(IntEnum):
    LATEST = 0
    FIRST = 1
    INTERESTS = 2
    SUM = 3
    SET = 4
    SEVERAL = 5


class Entry(NamedTuple):
    """`time_us`: microseconds since 1970 UTC; `key`: the interaction's key, which breaks ties.
    `value`: JSON, or bytes where it is sealed personal data. INTERESTS, SUM, SET and SEVERAL have `time_us` 0, no `key`
    and as `value` a list: of texts, of `attribute_parts`, and of entries as lists, ordered by kind."""

    kind: int
    time_us: int
    key: bytes
    value: Any


Attributes = dict[str, Entry]

RESERVED = ("acquisition.", "override.", "interests.", "updates.", "words.")
"""Prefixes of the attributes that Tierwise makes itself; a source cannot send them."""

CLEARED: Final = "updates.cleared"
"""The attribute that holds when all that sources said was unset."""

_encoder = msgspec.msgpack.Encoder(order="sorted")
_decoder = msgspec.msgpack.Decoder(dict[str, Entry])
_EMPTY = _encoder.encode({})


def merge(into: Attributes, entries: Iterable[tuple[str, Entry]]) -> bool:
    """Take the entries in, in place. Returns whether anything is not as it was."""
    moved = False
    for name, entry in entries:
        held = into.get(name)
        if held is not None:
            entry = _joined(held, entry)
            if entry is held or entry == held:
                continue
        into[name] = entry
        moved = True
    return moved


def value_of(attributes: Attributes, name: str) -> Any:
    """None where it is unset, or not known."""
    entry = attributes.get(name)
    if entry is None:
        return None
    if entry.kind <= Kind.INTERESTS and CLEARED not in attributes:
        return entry.value
    return _resolved(entry, None if name.startswith(RESERVED) else attributes.get(CLEARED))


def values(attributes: Attributes) -> dict[str, Any]:
    """Name to value, without what is unset."""
    found = ((name, value_of(attributes, name)) for name in attributes)
    return {name: value for name, value in found if value is not None}


def entries_of(given: Mapping[str, Any], *, time_us: int, key: bytes) -> list[tuple[str, Entry]]:
    """The entries that one interaction's attributes make."""
    return [(name, Entry(Kind.LATEST, time_us, key, value)) for name, value in given.items()]


class Seal(Protocol):
    """Seals the personal values among attributes."""

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Name to value, or to bytes where it is personal."""

    def word(self, word: str) -> int:
        """A keyed hash of a word of somebody's name, signed 64 bits."""

    def texts(self, name: str, texts: Sequence[str]) -> dict[str, bytes | None]:
        """What tells each of a list's texts from others, to its sealed form: the text itself, to None, where it is not
        personal."""


def updated(updates: Updates, seal: Seal, *, time_us: int, key: bytes) -> Iterator[tuple[str, Entry]]:
    """The entries that one interaction's updates make. Nothing is added to a personal value: nobody could read it."""
    if updates.clear:
        yield CLEARED, Entry(Kind.LATEST, time_us, key, None)
    for name, value in seal.values(updates.first).items():
        yield name, Entry(Kind.FIRST, time_us, key, value)
    for name, number in seal.values(updates.add).items():
        if not isinstance(number, bytes):
            yield name, Entry(Kind.SUM, 0, b"", parts.sum_of(number, time_us))
    for name, texts in updates.append.items():
        found = ([time_us, text, sealed] for text, sealed in seal.texts(name, texts).items())
        yield name, Entry(Kind.SET, 0, b"", parts.united(found, ()))


def with_values(entry: Entry, convert: Callable[[Any], Any]) -> Entry:
    """With each value that a source gave as `convert` makes it, wherever it stands in the entry."""
    if entry.kind == Kind.SET:
        return entry._replace(value=[[at, name, sealed and convert(sealed)] for at, name, sealed in entry.value])
    if entry.kind == Kind.SEVERAL:
        return entry._replace(value=[list(with_values(Entry(*one), convert)) for one in entry.value])
    return entry if entry.kind == Kind.SUM else entry._replace(value=convert(entry.value))


def pack(attributes: Attributes) -> bytes:
    return _encoder.encode(attributes) if attributes else _EMPTY


def unpack(packed: bytes) -> Attributes:
    """Raises msgspec.MsgspecError when the bytes are no attributes."""
    return _decoder.decode(packed) if packed != _EMPTY else {}


def _joined(held: Entry, new: Entry) -> Entry:
    """What two entries of one name make: `held` itself where the other one adds nothing."""
    if held.kind != new.kind:
        return _several(held, new)
    match held.kind:
        case Kind.INTERESTS:
            return new._replace(value=kept_interests({*held.value, *new.value}))
        case Kind.SUM:
            return new._replace(value=parts.added(held.value, new.value))
        case Kind.SET:
            return new._replace(value=parts.united(held.value, new.value))
        case Kind.SEVERAL:
            return _several(held, new)
    return new if _prefers(new, held) else held


def _prefers(new: Entry, held: Entry) -> bool:
    if new.kind == Kind.FIRST:
        return (new.time_us, new.key) < (held.time_us, held.key)
    return (new.time_us, new.key) > (held.time_us, held.key)


def _several(*entries: Entry) -> Entry:
    found: dict[int, Entry] = {}
    for entry in entries:
        for kind, part in _by_kind(entry).items():
            found[kind] = _joined(found[kind], part) if kind in found else part
    return Entry(Kind.SEVERAL, 0, b"", [list(found[kind]) for kind in sorted(found)])


def _by_kind(entry: Entry) -> dict[int, Entry]:
    if entry.kind != Kind.SEVERAL:
        return {entry.kind: entry}
    return {one[0]: Entry(*one) for one in entry.value}


def _resolved(entry: Entry, cleared: Entry | None) -> Any:
    by_kind = _by_kind(entry)
    latest, first = by_kind.get(Kind.LATEST), by_kind.get(Kind.FIRST)
    if cleared is not None and (latest is None or _prefers(cleared, latest)):
        latest = cleared
    since_us = None if latest is None else latest.time_us
    value = None if latest is None else latest.value
    if value is None and first is not None and (since_us is None or first.time_us >= since_us):
        value = first.value
    if Kind.SUM in by_kind:
        value = parts.with_total(value, parts.total(by_kind[Kind.SUM].value, since_us))
    if Kind.SET in by_kind:
        value = parts.with_elements(value, parts.elements(by_kind[Kind.SET].value, since_us))
    return by_kind[Kind.INTERESTS].value if Kind.INTERESTS in by_kind else value
