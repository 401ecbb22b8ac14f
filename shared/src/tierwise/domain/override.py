"""Overrides: what a person set by hand, with reason, author and expiry, over what is computed.

An override is an interaction crm/override, whose properties say `aspect` (tier, intent, lifecycle, tag:FAMILY.NAME),
`value` (None takes an override back), `reason`, `author` and `expires` (RFC 3339, or None). It is kept as an attribute
of its own for each aspect, so the latest one counts, in whatever order they arrive.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
import numpy.typing as npt

from tierwise.domain.attributes import Attributes, Entry, Kind
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook

CHANNEL, TYPE = "crm", "override"

PREFIX = "override."
"""Of the attributes that hold overrides; a reserved one."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at one aspect. `expires`: aware; None: never."""

    value: str | None = None
    reason: str | None = None
    author: str | None = None
    expires: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.value is not None and (self.expires is None or now < self.expires)


Overrides = Mapping[str, Override]
"""By aspect."""


def is_override(interaction: Interaction) -> bool:
    return interaction.channel == CHANNEL and interaction.type == TYPE


def entry_of(interaction: Interaction, *, time_us: int) -> tuple[str, Entry]:
    """The attribute that an override makes. Raises ValueError when it is not one."""
    properties = interaction.properties
    aspect = properties.get("aspect")
    if not isinstance(aspect, str):
        raise ValueError("an override names its aspect")
    try:
        override = msgspec.convert({name: properties.get(name) for name in Override.__struct_fields__}, Override)
    except msgspec.ValidationError as error:
        raise ValueError(f"not an override: {error}") from error
    if override.expires is not None and override.expires.tzinfo is None:
        raise ValueError("an override's expiry has a time zone")
    return PREFIX + aspect, Entry(Kind.LATEST, time_us, interaction.key, msgspec.to_builtins(override))


def overrides_of(held: Attributes) -> Overrides:
    """Of one customer: those that were not taken back, whether they hold yet or not."""
    names = [name for name in held if name.startswith(PREFIX)]
    if not names:
        return {}
    found = {name.removeprefix(PREFIX): msgspec.convert(held[name].value, Override) for name in names}
    return {aspect: override for aspect, override in found.items() if override.value is not None}


def apply(
    result: npt.NDArray[np.void], overrides: Sequence[Overrides | None], now: datetime, rulebook: Rulebook
) -> None:
    """Write the overrides that hold over the computed values, in place. A value that the rulebook does not know is
    passed over: the computed one shows."""
    if not any(overrides):
        return
    places = _places(rulebook)
    for index, given in enumerate(overrides):
        for aspect, override in (given or {}).items():
            place = places.get((aspect, override.value or ""))
            if place is not None and override.holds(now):
                field, column, code = place
                if column is None:
                    result[field][index] = code
                else:
                    result[field][index, column] = code


def next_expiry(given: Overrides | None, now: datetime) -> datetime | None:
    """When the first of the overrides that hold ends. None: there is none."""
    if given is None:
        return None
    ends = [override.expires for override in given.values() if override.holds(now)]
    return min((end for end in ends if end is not None), default=None)


def values_of(rulebook: Rulebook) -> dict[str, list[str]]:
    """By aspect, the values that it can be set to."""
    values: dict[str, list[str]] = {}
    for aspect, value in _places(rulebook):
        values.setdefault(aspect, []).append(value)
    return values


def value_of(result: np.void, aspect: str, rulebook: Rulebook) -> str | None:
    """The name that a result has at an aspect; None for no tag, and for an aspect that the rulebook does not have."""
    for (place, value), (field, column, code) in _places(rulebook).items():
        if place == aspect and (result[field] if column is None else result[field][column]) == code:
            return value
    return None


def _places(rulebook: Rulebook) -> dict[tuple[str, str], tuple[str, int | None, int]]:
    """(aspect, value) -> the field of the result, the column in it, and the code."""
    places: dict[tuple[str, str], tuple[str, int | None, int]] = {}
    named = (("tier", "tier", rulebook.tier_names), ("intent", "level", rulebook.level_names))
    for aspect, field, names in (*named, ("lifecycle", "stage", rulebook.stage_names)):
        places |= {(aspect, name): (field, None, code) for code, name in enumerate(names)}
    for column, tag in enumerate(rulebook.tags):
        aspect = f"tag:{tag.family}.{tag.name}"
        places |= {(aspect, value): ("tags", column, code) for code, value in enumerate(tag.values, start=1)}
    return places
