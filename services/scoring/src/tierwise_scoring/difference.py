"""How a stored customer differs from the same one folded again: which part, and what of it. Without values."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.change import rfc3339
from tierwise.domain.rulebook import Rulebook
from tierwise.security.personal import NotSealedHere, Vault
from tierwise.security.values import open_values

UNREADABLE = "cannot be read"


class Difference(NamedTuple):
    """`table` and `part` (a column): what differs; `detail`: what of it, for people. `repaired`: whether what is
    stored is right again."""

    customer_id: str
    table: str
    part: str
    detail: str
    repaired: bool


def ledger_difference(stored: bytes, folded: bytes, horizon_day: int) -> str | None:
    """How many rows; None where they are the same after compaction."""
    if stored == folded:
        return None
    try:
        held, right = (_rows(one, horizon_day) for one in (stored, folded))
    except ValueError:
        return UNREADABLE
    if held == right:
        same_version = packed_ledger.fold_version_of(stored) == packed_ledger.fold_version_of(folded)
        return None if same_version else "folded by another version of the rulebook, to the same rows"
    return f"{len(held - right)} of {len(held)} rows wrong, {len(right - held)} missing"


def _rows(packed: bytes, horizon_day: int) -> set[tuple[int, ...]]:
    rows = ledger.compact(packed_ledger.unpack([packed]), horizon_day)
    columns = (rows.signal, rows.day, rows.last, rows.count, rows.value)
    return set(zip(*(column.tolist() for column in columns), strict=True))


def attributes_difference(stored: bytes, folded: Attributes, vault: Vault) -> str | None:
    """The names of the attributes. Sealed values are opened first: sealing the same twice gives other bytes."""
    try:
        held = _opened(attributes.unpack(stored), vault)
    except (msgspec.MsgspecError, NotSealedHere):
        return UNREADABLE
    right = _opened(folded, vault)
    # Packed, since 1, 1.0 and True are equal, and not the same.
    names = [
        name
        for name in sorted(held.keys() | right.keys())
        if name not in held
        or name not in right
        or attributes.pack({name: held[name]}) != attributes.pack({name: right[name]})
    ]
    return ", ".join(names) or None


def _opened(held: Attributes, vault: Vault) -> Attributes:
    def opened(name: str, value: Any) -> Any:
        return open_values({name: value}, vault, masked=False)[name]

    return {name: attributes.with_values(entry, partial(opened, name)) for name, entry in held.items()}


def moment_difference(stored: datetime, right: datetime | None) -> str | None:
    return None if right is None or stored == right else f"{rfc3339(stored)}, should be {rfc3339(right)}"


def result_difference(stored: bytes, right: np.void, rulebook: Rulebook) -> str | None:
    """The fields of the classification."""
    if stored == right.tobytes():
        return None
    if len(stored) != rulebook.result.itemsize:
        return UNREADABLE
    held = np.frombuffer(stored, rulebook.result)[0]
    names = rulebook.result.names or ()
    return ", ".join(name for name in names if held[name].tobytes() != right[name].tobytes())


def facets_difference(stored: Mapping[str, Any] | None, right: Mapping[str, Any]) -> str | None:
    """The columns."""
    if stored is None:
        return "missing"
    return ", ".join(name for name, value in right.items() if stored[name] != value) or None
