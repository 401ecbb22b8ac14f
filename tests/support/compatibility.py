"""Whether subscribers of one schema can read what another one describes, and the other way round."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LIMITS = ("type", "const", "enum", "pattern", "format", "minimum", "maximum", "minItems", "maxItems", "oneOf", "anyOf")
"""What decides which values are allowed; descriptions and examples are free."""


def incompatible(old: Schema, new: Schema, place: str = "$") -> Iterator[str]:
    """What a new schema of the same version must not do: both old subscribers on new data and new ones on data that is
    still kept have to go on. Adding what is not required is the one change that is allowed."""
    for limit in _LIMITS:
        if _meaning(old.get(limit)) != _meaning(new.get(limit)):
            yield f"{place}: {limit} was {old.get(limit)}, is {new.get(limit)}"
    was, now = set(old.get("required", ())), set(new.get("required", ()))
    yield from (f"{place}.{name}: is required now" for name in sorted(now - was))
    yield from (f"{place}.{name}: is not required any more" for name in sorted(was - now))
    for name, schema in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from incompatible(schema, new["properties"][name], f"{place}.{name}")
        else:
            yield f"{place}.{name}: is gone"
    if "items" in old:
        yield from incompatible(old["items"], new.get("items", {}), f"{place}[]")


def _meaning(value: Any) -> Any:
    """Without words."""
    if isinstance(value, dict):
        return {
            name: _meaning(held) for name, held in value.items() if name not in ("description", "examples", "title")
        }
    return [_meaning(held) for held in value] if isinstance(value, list) else value
