"""Updates as a source claims them, and what makes them believed."""

import msgspec

from tierwise.domain.attribute_values import derive
from tierwise.domain.attributes import RESERVED
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Trust
from tierwise.domain.updates import ATTRIBUTES_MAX, Updates


def checked_updates(updates: Updates, trust: Trust, *, year: int) -> Updates:
    """In normal form and with what follows, as attributes are. `year`: the interaction's. Raises InvalidInteraction."""
    fields = updates.fields()
    if len(fields) > ATTRIBUTES_MAX:
        raise InvalidInteraction("invalid_update", "updates", f"At most {ATTRIBUTES_MAX} attributes at once")
    if updates.clear and trust.attributes is not None:
        detail = "It unsets every attribute, and this source may not assert all of them"
        raise InvalidInteraction("attribute_not_allowed", "updates.clear", detail)
    for name, field in fields:
        if trust.attributes is not None and name not in trust.attributes:
            raise InvalidInteraction("attribute_not_allowed", field, "This source may not assert it")
        if name.startswith(RESERVED):
            raise InvalidInteraction("reserved_attribute", field, "Tierwise makes this attribute itself")
    return msgspec.structs.replace(updates, first=derive(updates.first, year=year)) if updates.first else updates


def check_sizes(updates: Updates) -> None:
    """Of updates that were not decoded as such. Raises InvalidInteraction."""
    for group, names in msgspec.to_builtins(updates).items():
        for name, value in names.items() if isinstance(names, dict) else ():
            try:
                msgspec.convert({group: {name: value}}, Updates)
            except msgspec.ValidationError as error:
                raise InvalidInteraction("invalid_update", f"updates.{group}.{name[:64]}", str(error)) from error
