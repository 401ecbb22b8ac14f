"""Messages as interactions."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from tierwise.domain.attributes import RESERVED
from tierwise.domain.claim import Admitted, Claim, Terms
from tierwise.domain.match import PROFILE_UPDATE
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.updates import Updates
from tierwise_ingest.formats.believed import take_believed
from tierwise_ingest.formats.format import Ignored, Item
from tierwise_ingest.formats.segment.kinds import Kind
from tierwise_ingest.formats.sensors.identifiers import Told, identifiers_of
from tierwise_ingest.formats.sensors.kinds import event_kind, of_event
from tierwise_ingest.formats.sensors.message import Ids, Message, read_message, time_of

_CONTACT: Final = ("identifiers.email", "identifiers.phone")
_MONEY: Final = ("properties.amount", "properties.currency")
_PROFILE: Final = Kind("web", PROFILE_UPDATE)
_ITEMS: Final = frozenset({"item_set", "item_delete"})
_CATALOGUE: Final = Ignored("catalogue")
"""What a shop says of its goods, and of no customer."""


class Said(NamedTuple):
    kind: Kind
    properties: dict[str, Any]
    attributes: dict[str, Any] | None = None
    updates: Updates | None = None


def item_of(raw: bytes, ids: Ids, terms: Terms) -> Item:
    try:
        message = read_message(raw, terms)
        return _CATALOGUE if message.type in _ITEMS else interaction_of(message, ids, terms)
    except InvalidInteraction as rejection:
        return rejection


def interaction_of(message: Message, ids: Ids, terms: Terms) -> Admitted:
    """Raises InvalidInteraction, naming the field as the sender does."""
    say = _TYPES.get(message.type)
    if say is None:
        raise InvalidInteraction("unknown_type", "type", f"One of {', '.join((*_TYPES, *sorted(_ITEMS)))}")
    said, told = say(message), identifiers_of(message, terms.kinds)
    left_out = list(told.unknown)
    claim = Claim(
        id=ids.of(message),
        time=time_of(message, terms.received),
        channel=said.kind.channel,
        type=said.kind.type,
        identifiers=told.identifiers,
        attributes=said.attributes and _fitting(said.attributes, "attributes", left_out),
        updates=said.updates and _believed(said.updates, terms, left_out),
        properties=said.properties,
    )
    spare = _CONTACT if said.kind.channel == "order" else _CONTACT + _MONEY
    return take_believed(claim, terms, _words(told), spare=spare, left_out=left_out)


def _track(message: Message) -> Said:
    if not message.event:
        raise InvalidInteraction("missing_event", "event", f"A {message.type} names its event")
    kind = event_kind(message.event)
    return Said(kind, of_event(message.event, kind, message.properties or {}))


def _tie(message: Message) -> Said:
    return Said(_PROFILE, {"verb": message.type})


def _set(message: Message) -> Said:
    return Said(_PROFILE, {"verb": message.type}, attributes=_named(message))


def _unset(message: Message) -> Said:
    return Said(_PROFILE, {"verb": message.type}, attributes=dict.fromkeys(_named(message)))


def _set_once(message: Message) -> Said:
    return Said(_PROFILE, {"verb": message.type}, updates=Updates(first=_named(message)))


def _increment(message: Message) -> Said:
    return Said(_PROFILE, {"verb": message.type}, updates=Updates(add=_named(message)))


def _append(message: Message) -> Said:
    lists = {name: value if isinstance(value, list) else [value] for name, value in _named(message).items()}
    return Said(_PROFILE, {"verb": message.type}, updates=Updates(append=lists))


def _delete(message: Message) -> Said:
    return Said(_PROFILE, {"verb": message.type}, updates=Updates(clear=True))


_TYPES: Final[dict[str, Callable[[Message], Said]]] = {
    "track": _track,
    "track_signup": _track,
    "track_id_bind": _tie,
    "track_id_unbind": _tie,
    "profile_set": _set,
    "profile_set_once": _set_once,
    "profile_increment": _increment,
    "profile_append": _append,
    "profile_unset": _unset,
    "profile_delete": _delete,
}


def _named(message: Message) -> dict[str, Any]:
    """A profile's properties as attributes, whose names have no `$`."""
    sent = message.properties or {}
    return {name.removeprefix("$"): value for name, value in sent.items() if name != "$is_login_id"}


def _fitting(values: dict[str, Any], group: str, left_out: list[str]) -> dict[str, Any]:
    """Those that an attribute can hold. `group`: a field of Updates, or `attributes`."""
    fitting = {}
    for name, value in values.items():
        try:
            msgspec.convert({"first" if group == "attributes" else group: {name: value}}, Updates)
        except msgspec.ValidationError:
            left_out.append(f"properties.{name[:64]}")
        else:
            fitting[name] = value
    for name in [name for name in fitting if name.startswith(RESERVED)]:
        left_out.append(f"properties.{name}")
        del fitting[name]
    return fitting


def _believed(updates: Updates, terms: Terms, left_out: list[str]) -> Updates | None:
    """What fits, and what the source may assert. None where nothing is left of it."""
    allowed = terms.source.trust.attributes
    if updates.clear and allowed is not None:
        left_out.append("type")
        return None
    groups = {}
    for group in ("first", "add", "append"):
        fitting = _fitting(getattr(updates, group), group, left_out)
        left_out += [f"properties.{name}" for name in fitting if allowed is not None and name not in allowed]
        groups[group] = {name: value for name, value in fitting.items() if allowed is None or name in allowed}
    return Updates(**groups, clear=updates.clear) if updates.clear or any(groups.values()) else None


_THEIRS: Final = {"channel": "event", "type": "event", "identifiers": "distinct_id", "id": "_track_id"}


def _words(told: Told) -> Callable[[str], str]:
    def words(field: str) -> str:
        member, _, name = field.partition(".")
        if member == "identifiers" and name:
            return told.fields.get(name, "distinct_id")
        if member == "attributes":
            return f"properties.{name}" if name else "properties"
        if member == "updates":
            return f"properties.{name.partition('.')[2]}"
        return _THEIRS.get(field, field)

    return words
