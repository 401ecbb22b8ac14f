"""Events as interactions: what the type says, and what native members of the data say more exactly."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from tierwise.domain.claim import ID_CHARACTERS_MAX, Admitted, Claim, Terms, content_id, take
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.updates import AttributeName, AttributeValue, Updates
from tierwise.domain.wellformed import INT64_MAX, INT64_MIN
from tierwise_ingest.formats.cloudevents.event import Event
from tierwise_ingest.formats.format import Item
from tierwise_ingest.formats.segment.clock import corrected
from tierwise_ingest.formats.segment.kinds import Kind, kind_of

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Value = (
    None | bool | Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)] | float | str | list[Any] | dict[str, Any]
)


class _Context(msgspec.Struct):
    """The attributes that the specification names. `time` without zone is none of RFC 3339."""

    specversion: str
    id: _Text
    source: _Text
    type: _Text
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None


class _Said(msgspec.Struct, kw_only=True):
    """Members of the data that are the native form's."""

    channel: str | None = None
    type: str | None = None
    identifiers: dict[str, str] = {}
    attributes: dict[AttributeName, AttributeValue] = {}
    updates: Updates | None = None
    properties: dict[str, _Value] = {}
    consent: bool | None = None


_CONTEXT: Final = frozenset(_Context.__struct_fields__)
_SAID: Final = frozenset(_Said.__struct_fields__)
_SPELT: Final = {"userId": "user_id", "anonymousId": "anonymous_id", "crmId": "crm_id"}
"""In the data; names of extension attributes have neither capitals nor `_`."""


def item_of(event: Event | InvalidInteraction, terms: Terms) -> Item:
    if isinstance(event, InvalidInteraction):
        return event
    try:
        return interaction_of(event, terms)
    except InvalidInteraction as rejection:
        return rejection


def interaction_of(event: Event, terms: Terms) -> Admitted:
    """Raises InvalidInteraction, naming the field as the sender does."""
    context = _converted(event.attributes, _Context, "")
    if context.specversion != "1.0":
        raise InvalidInteraction("unknown_specversion", "specversion", "Events of CloudEvents 1.0 are read here")
    data = event.data if isinstance(event.data, dict) else {}
    said = _converted({name: value for name, value in data.items() if name in _SAID}, _Said, "data")
    extensions = {name: value for name, value in event.attributes.items() if name not in _CONTEXT}
    rest = {name: value for name, value in data.items() if name not in _SAID} if data else _whole(event.data)
    rest = _converted(rest, dict[str, _Value], "data")
    identifiers = said.identifiers | _identifiers(rest, extensions, terms.kinds)
    kind = _kind(context.type, said)
    claim = Claim(
        id=_id(context, terms),
        time=None if context.time is None else corrected(context.time, terms.received, _NO_SKEW),
        channel=kind.channel,
        type=kind.type,
        identifiers=identifiers,
        attributes=said.attributes,
        updates=said.updates,
        properties=_extended(said.properties | rest, context, extensions, kind),
        consent=said.consent,
    )
    try:
        admitted = take(claim, terms)
    except InvalidInteraction as rejection:
        raise InvalidInteraction(rejection.code, _words(rejection.field, said, rest), rejection.detail) from rejection
    return admitted._replace(left_out=("data",)) if isinstance(event.data, bytes) else admitted


_NO_SKEW: Final = datetime.resolution * 0


def _converted(value: object, type_: Any, place: str) -> Any:
    """Raises InvalidInteraction."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        if what.startswith("Object missing required field"):
            name = what.split("`")[1]
            raise InvalidInteraction(f"missing_{name}", name, "CloudEvents requires it") from None
        field = f"{place}{where.strip('`')}".strip(".").removesuffix("[...]") or None
        raise InvalidInteraction("invalid_field", field, what) from None


def _whole(data: Any) -> dict[str, Any]:
    """Of data that is no object: JSON of another kind, or text."""
    return {} if data is None or isinstance(data, bytes | dict) else {"data": data}


def _identifiers(rest: dict[str, Any], extensions: dict[str, Any], kinds: frozenset[str]) -> dict[str, str]:
    """Taken out of both."""
    found: dict[str, str] = {}
    squashed = {kind.replace("_", ""): kind for kind in kinds}
    for given, names in ((extensions, squashed), (rest, {kind: kind for kind in kinds} | _SPELT)):
        for name in [name for name in given if name in names and type(given[name]) in (str, int)]:
            value = given.pop(name)
            if value != "":
                found[names[name]] = str(value)
    return found


def _kind(type_: str, said: _Said) -> Kind:
    """`com.example.order.purchase`: the last word is the type where a channel stands before it; else the last word is
    an event's name on the web. A version at the end is passed over."""
    words = type_.split(".")
    if len(words) > 1 and words[-1][:1] == "v" and words[-1][1:].isdigit():
        words.pop()
    named = len(words) > 1 and words[-2].lower() in CHANNELS
    kind = Kind(words[-2].lower(), words[-1].lower().replace("-", "_")) if named else kind_of(words[-1])
    return Kind(said.channel or kind.channel, said.type or kind.type, kind.named)


def _extended(properties: dict[str, Any], context: _Context, extensions: dict[str, Any], kind: Kind) -> dict[str, Any]:
    for name, value in extensions.items():
        if isinstance(value, str | int | bool) and -(1 << 63) <= (0 if isinstance(value, str) else value) < 1 << 63:
            properties.setdefault(name, value)
    if context.subject:
        properties.setdefault("subject", context.subject)
    if not kind.named:
        properties.setdefault("event", context.type)
    return properties


def _id(context: _Context, terms: Terms) -> str:
    """Source and id together, which the specification holds to be unique; a URI has no blank."""
    plain = f"{context.source} {context.id}"
    if " " in context.source or len(plain) > ID_CHARACTERS_MAX:
        return content_id((context.source, context.id), terms.content_key)
    return plain


def _words(field: str | None, said: _Said, rest: dict[str, Any]) -> str | None:
    member, _, name = (field or "").partition(".")
    if field in ("channel", "type"):
        return f"data.{field}" if getattr(said, field) else "type"
    if member == "identifiers":
        return f"data.{field}" if not name or name in said.identifiers else f"data.{name}"
    if member == "properties" and name in rest:
        return f"data.{name}"
    return f"data.{field}" if member in ("properties", "attributes", "updates") else field
