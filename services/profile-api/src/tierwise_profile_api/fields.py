"""Picking fields of the current view: dotted names, so that a caller is sent no more than it shows."""

from collections.abc import Mapping
from typing import Any, Final

from tierwise_profile_api.parameters import BadParameter

_ANY: Final = "*"
"""In the place of a name: those are the customer's or the rulebook's own."""

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "customer_id": (),
    "identifiers": (),
    "attributes": (_ANY,),
    "intent": ("score", "level", "points"),
    "lifecycle": ("stage", "since"),
    "tier": ("grade", "score", "dimensions", f"dimensions.{_ANY}"),
    "tags": (),
    "interests": (),
    "acquisition": ("first", "last"),
    "preferred_channel": (),
    "owner": (),
    "strategy": (_ANY,),
    "overrides": (),
    "orders": ("count", "amount", "currency", "first", "last"),
    "first_seen": (),
    "last_seen": (),
    "interactions": (),
    "classified_at": (),
    "rulebook": (),
    "cuts": (),
    "version": (),
    "labels": ("language", "intent", "lifecycle", "tier", "dimensions", "tags", f"dimensions.{_ANY}", f"tags.{_ANY}"),
}
"""Of the current view, and what stands in each. Of lists there is all or nothing."""

_ALWAYS: Final = ("customer_id", "requested_id", "merged_into", "as_of")
_FIELDS_MAX: Final = 100

Fields = tuple[tuple[str, ...], ...]


def read_fields(text: str | None) -> Fields | None:
    """Names with commas between; None: everything. Raises BadParameter naming what there is."""
    if text is None:
        return None
    names = sorted({name.strip() for name in text.split(",")})
    if len(names) > _FIELDS_MAX:
        raise BadParameter("fields", f"At most {_FIELDS_MAX} fields.")
    return tuple(_path(name) for name in names)


def picked(view: dict[str, Any], fields: Fields | None) -> dict[str, Any]:
    """These of a view, as deep as they stood in it, and its ids; null for what a customer does not have."""
    if fields is None:
        return view
    chosen: dict[str, Any] = {name: view[name] for name in _ALWAYS if name in view}
    for path in fields:
        into, source = chosen, view
        for name in path[:-1]:
            source = source.get(name) or {}
            into = into.setdefault(name, {})
        into[path[-1]] = source.get(path[-1])
    return chosen


def _path(name: str) -> tuple[str, ...]:
    head, dot, rest = name.partition(".")
    if head not in FIELDS:
        raise BadParameter("fields", f"There is no field {name[:64]!r}; there are {', '.join(FIELDS)}.")
    if not dot:
        return (head,)
    known = FIELDS[head]
    if known == (_ANY,) and rest:
        return head, rest  # names of attributes may have dots
    before, _, last = rest.rpartition(".")
    if rest in known or (last and f"{before}.{_ANY}" in known):
        return (head, *rest.split("."))
    inside = ", ".join(f"{head}.{one}" for one in known) or "nothing that can be picked alone"
    raise BadParameter("fields", f"There is no field {name[:64]!r}; in {head} there is {inside}.")
