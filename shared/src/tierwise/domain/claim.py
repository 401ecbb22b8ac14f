"""The claim: an interaction as a source sends it, and what makes it an Interaction that is believed."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import msgspec

from tierwise.domain.amount import AMOUNT_RULE, decimal_amount, is_currency
from tierwise.domain.attribute_values import derive
from tierwise.domain.attributes import RESERVED
from tierwise.domain.claimed_updates import check_sizes, checked_updates
from tierwise.domain.identifier import IDENTIFIER_CHARACTERS_MAX, InvalidIdentifier, normalise
from tierwise.domain.interaction import CHANNELS, IDENTIFIER_KINDS, Interaction, encode
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source
from tierwise.domain.updates import ATTRIBUTES_MAX, AttributeName, AttributeValue, Integer, Updates
from tierwise.domain.wellformed import check_keys_and_text, check_nesting, diagnose

AHEAD_MAX = timedelta(minutes=5)
"""How far a source's clock may be ahead of ours."""

ID_CHARACTERS_MAX = 256
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARACTERS_MAX)]
_IdentifierValue = Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTIFIER_CHARACTERS_MAX)]
_Property = None | bool | Integer | float | str | list[Any] | dict[str, Any]


class Claim(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The native form, as decoded: of the right types and lengths, and nothing else is known of it yet."""

    id: _Id | None = None
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    channel: str
    type: str
    identifiers: dict[str, _IdentifierValue] = {}
    attributes: Annotated[dict[AttributeName, AttributeValue], msgspec.Meta(max_length=ATTRIBUTES_MAX)] | None = None
    updates: Updates | None = None
    properties: dict[str, _Property] | None = None
    consent: bool | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one request's claims are judged by.

    `received`: its arrival, aware, in UTC. `ahead_max`: how far ahead of it a time may be, None for any distance.
    `new_id` gives a fresh id to a claim with neither id nor time.
    `horizon`: how far back duplicates are known, None for ever. `kinds`: of identifiers, with those of the
    rulebook. `depth_max`: nesting, the claim itself being the first level. `item_bytes_max`: of one, as sent;
    `items_max`: in one request. `content_key` (up to 64 bytes) keeps ids that are made from content from telling what
    the content was. Not `consented`: the request itself says that nothing in it may be scored. `by_hand`: a person says
    it through the profile API, and so may set overrides.
    """

    source: Source
    received: datetime
    new_id: Callable[[], str]
    ahead_max: timedelta | None = AHEAD_MAX
    horizon: timedelta | None = None
    kinds: frozenset[str] = frozenset(IDENTIFIER_KINDS)
    depth_max: int = 16
    item_bytes_max: int = 64_000
    items_max: int = 1_000
    content_key: bytes = b""
    consented: bool = True
    by_hand: bool = False


class Admitted(NamedTuple):
    """`encoded` is the interaction as it goes to the stream. Not `recognisable`: it had neither id nor time,
    so that sending it again counts again. `left_out`: the sender's names of what it said beside and was not taken."""

    interaction: Interaction
    encoded: bytes
    recognisable: bool
    left_out: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Claim)
_canonical = msgspec.json.Encoder(order="deterministic")


def decode_claim(raw: bytes | msgspec.Raw) -> Claim:
    """Raises InvalidInteraction for what is no JSON, or not of the form."""
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _misfit(bytes(raw), str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise diagnose(bytes(raw)) from error


def read_claim(raw: bytes, terms: Terms) -> Admitted:
    """One item in the native form, from its bytes. Raises InvalidInteraction."""
    if len(raw) > terms.item_bytes_max:
        raise InvalidInteraction("too_large", None, f"An interaction has at most {terms.item_bytes_max:,} bytes")
    claim = decode_claim(raw)
    containers = 2 + (claim.attributes is not None) + (claim.properties is not None)
    if claim.properties and raw.count(b"{") + raw.count(b"[") != containers:
        check_nesting(claim.properties, "properties", depth_max=terms.depth_max)
    quoted_amount = claim.properties is not None and type(claim.properties.get("amount")) is str
    interaction = admit(claim, terms)
    encoded = encode(interaction)
    expected = encoded.count(b'"') - _quotes_added(claim, interaction, quoted_amount=quoted_amount)
    check_keys_and_text(raw, expected)
    return Admitted(interaction, encoded, claim.id is not None or claim.time is not None)


_PLAIN_NESTING = 3
"""Objects and arrays of an encoded interaction whose attributes and properties hold none."""


def take(claim: Claim, terms: Terms) -> Admitted:
    """A claim that was made from a document in another form, whose types hold but whose sizes nobody has looked at.
    Raises InvalidInteraction."""
    if claim.id is not None and not 0 < len(claim.id) <= ID_CHARACTERS_MAX:
        raise InvalidInteraction("invalid_id", "id", f"1 to {ID_CHARACTERS_MAX} characters")
    for kind, value in claim.identifiers.items():
        if not 0 < len(value) <= IDENTIFIER_CHARACTERS_MAX:
            detail = f"1 to {IDENTIFIER_CHARACTERS_MAX} characters"
            raise InvalidInteraction("invalid_identifier", f"identifiers.{kind}", detail)
    if claim.attributes:
        _check_attributes(claim.attributes)
    if claim.updates is not None:
        check_sizes(claim.updates)
    interaction = admit(claim, terms)
    try:
        encoded = encode(interaction)
    except UnicodeEncodeError:
        raise InvalidInteraction("lone_surrogate", None, "Half of a surrogate pair is no text") from None
    if len(encoded) > terms.item_bytes_max:
        raise InvalidInteraction("too_large", None, f"An interaction has at most {terms.item_bytes_max:,} bytes")
    if encoded.count(b"{") + encoded.count(b"[") > _PLAIN_NESTING:
        check_nesting(interaction.properties, "properties", depth_max=terms.depth_max)
    if b"\\u0000" in encoded:
        check_keys_and_text(encoded, encoded.count(b'"'))
    return Admitted(interaction, encoded, claim.id is not None or claim.time is not None)


def _check_attributes(attributes: dict[str, Any]) -> None:
    if len(attributes) > ATTRIBUTES_MAX:
        raise InvalidInteraction("invalid_attribute", "attributes", f"At most {ATTRIBUTES_MAX} at once")
    for name, value in attributes.items():
        try:
            msgspec.convert(name, AttributeName)
            msgspec.convert(value, AttributeValue)
        except msgspec.ValidationError as error:
            raise InvalidInteraction("invalid_attribute", f"attributes.{name[:64]}", str(error)) from error


def admit(claim: Claim, terms: Terms) -> Interaction:
    """The interaction that a decoded claim makes under these terms, its attributes in normal form and with what
    follows from them: who may assert an attribute may assert that too. Raises InvalidInteraction.

    What JSON itself may hide (repeated keys, NUL, depth) is for `read_claim`, which has the bytes."""
    trust = terms.source.trust
    _check_kind_of_interaction(claim.channel, claim.type, trust.channels, terms.by_hand)
    time = terms.received if claim.time is None else _checked_time(claim.time, terms)
    identifiers = _checked_identifiers(claim.identifiers, terms)
    attributes, properties = claim.attributes or {}, claim.properties or {}
    if trust.attributes is not None and not trust.attributes.issuperset(attributes):
        name = min(attributes.keys() - trust.attributes)
        raise InvalidInteraction("attribute_not_allowed", f"attributes.{name}", "This source may not assert it")
    for name in attributes:
        if name.startswith(RESERVED):
            raise InvalidInteraction("reserved_attribute", f"attributes.{name}", "Tierwise makes this attribute itself")
    updates = None if claim.updates is None else checked_updates(claim.updates, trust, year=time.year)
    if "amount" in properties or "currency" in properties:
        properties = _checked_money(properties)
    id = claim.id  # noqa: A001
    if id is None:
        content: tuple[object, ...] = (time, claim.channel, claim.type, identifiers, attributes, properties)
        if updates is not None:
            content = (*content, updates)
        id = terms.new_id() if claim.time is None else content_id(content, terms.content_key)  # noqa: A001
    return Interaction(
        id=id,
        source=terms.source.name,
        time=time,
        received=terms.received,
        channel=claim.channel,
        type=claim.type,
        identifiers=identifiers,
        attributes=derive(attributes, year=time.year) if attributes else attributes,
        updates=updates,
        properties=properties,
        links=trust.links,
        scored=terms.consented and claim.consent is not False,
    )


@lru_cache(maxsize=4096)
def _check_kind_of_interaction(
    channel: str,
    type: str,  # noqa: A002
    allowed: frozenset[str] | None,
    by_hand: bool,
) -> None:
    if channel not in CHANNELS:
        raise InvalidInteraction("unknown_channel", "channel", f"Known channels: {', '.join(CHANNELS)}")
    if allowed is not None and channel not in allowed:
        raise InvalidInteraction("channel_not_allowed", "channel", "This source may not send this channel")
    if not _TYPE.fullmatch(type):
        raise InvalidInteraction("invalid_type", "type", "1 to 64 of a-z, 0-9, '_', '.' and '-', a letter first")
    if (channel, type) == ("crm", "override") and not by_hand:
        raise InvalidInteraction("override_not_allowed", "type", "Overrides are set through the profile API")


_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)


def _checked_time(claimed: datetime, terms: Terms) -> datetime:
    if not 1970 <= claimed.year <= 9998:  # beyond these the change to UTC could leave what a datetime can be
        if claimed > terms.received:
            raise InvalidInteraction("time_in_future", "time", "More than 5 minutes ahead of its arrival here")
        raise InvalidInteraction("invalid_time", "time", "Before 1970")
    time = claimed.astimezone(UTC)
    if terms.ahead_max is not None and time > terms.received + terms.ahead_max:
        raise InvalidInteraction("time_in_future", "time", "More than 5 minutes ahead of its arrival here")
    if terms.horizon is not None and time < terms.received - terms.horizon:
        raise InvalidInteraction(
            "older_than_horizon", "time", f"Duplicates are known for {terms.horizon.days} days; this is older"
        )
    return time


def _checked_identifiers(claimed: dict[str, str], terms: Terms) -> dict[str, str]:
    if not claimed:
        raise InvalidInteraction("missing_identifier", "identifiers", f"At least one of {_listed(terms.kinds)}")
    trust = terms.source.trust
    identifiers = {}
    for kind, value in claimed.items():
        if kind not in terms.kinds:
            detail = f"Known kinds: {_listed(terms.kinds)}"
            raise InvalidInteraction("unknown_identifier", f"identifiers.{kind[:64]}", detail)
        if trust.kinds is not None and kind not in trust.kinds:
            raise InvalidInteraction(
                "identifier_not_allowed", f"identifiers.{kind}", "This source may not assert this kind"
            )
        try:
            identifiers[kind] = normalise(kind, value, default_region=trust.default_region)
        except InvalidIdentifier as error:
            raise InvalidInteraction("invalid_identifier", f"identifiers.{kind}", str(error)) from error
    return identifiers


def _listed(kinds: frozenset[str]) -> str:
    return ", ".join([*IDENTIFIER_KINDS, *sorted(kinds.difference(IDENTIFIER_KINDS))])


def _checked_money(properties: dict[str, Any]) -> dict[str, Any]:
    if "currency" in properties and not is_currency(properties["currency"]):
        raise InvalidInteraction("invalid_currency", "properties.currency", "Three capital letters, as CNY")
    if "amount" not in properties:
        return properties
    amount = decimal_amount(properties["amount"])
    if amount is None:
        raise InvalidInteraction("invalid_amount", "properties.amount", f"It is {AMOUNT_RULE}")
    return {**properties, "amount": amount}


def content_id(content: object, key: bytes) -> str:
    """The same for the same content, however it was spelt."""
    return f"content-{blake2b(_canonical.encode(content), key=key, digest_size=16).hexdigest()}"


def _quotes_added(claim: Claim, interaction: Interaction, *, quoted_amount: bool) -> int:
    """Quotation marks that the encoded interaction has and its claim had not. What the claim may have had and
    the encoding leaves out (null, {}) is not taken off: that makes the count too low, never too high."""
    added = 8 + 2 * _escaped_quotes(interaction.source)  # "source":"", "received":""
    if claim.id is None:
        added += 4
    if claim.time is None:
        added += 4
    if not interaction.links:
        added += 2
    if not interaction.scored:
        added += 2
    if claim.consent is not None:
        added -= 2
    if "amount" in interaction.properties and not quoted_amount:
        added += 2
    if claim.attributes and interaction.attributes != claim.attributes:
        added += _quotes(interaction.attributes) - _quotes(claim.attributes)
    if claim.updates is not None and interaction.updates is not None:
        added += _quotes(interaction.updates.first) - _quotes(claim.updates.first)
    return added


def _quotes(attributes: dict[str, Any]) -> int:
    return _canonical.encode(attributes).count(b'"')


@lru_cache(maxsize=256)
def _escaped_quotes(name: str) -> int:
    return name.count('"')


_TYPED = {"identifiers": _IdentifierValue, "attributes": AttributeValue, "properties": _Property}
_INVALID = {"identifiers": "invalid_identifier", "attributes": "invalid_attribute", "updates": "invalid_update"}


def _misfit(raw: bytes, message: str) -> InvalidInteraction:
    """The decoder's complaint about a well-formed document, with a code and the very field."""
    what, _, place = message.partition(" - at `")
    of_key = place.startswith("key` in `")
    field = place.removeprefix("key` in `").removeprefix("$").strip("`.").partition("[")[0]
    if what.startswith("Object missing required field"):
        field = what.split("`")[1]
        return InvalidInteraction(f"missing_{field}", field, "It is required")
    if what.startswith("Object contains unknown field"):
        known = ", ".join((Updates if field == "updates" else Claim).__struct_fields__)
        name = ".".join(filter(None, (field, what.split("`", 1)[1][:-1][:64])))
        return InvalidInteraction("unknown_field", name, f"Known fields: {known}")
    if what.startswith("Number out of range"):
        return InvalidInteraction("number_out_of_range", field or None, "Numbers fit 64 bits")
    if not field:
        return InvalidInteraction("not_an_object", None, what)
    if field == "time":
        return InvalidInteraction("invalid_time", "time", "RFC 3339 with a zone, as 2026-11-20T09:30:00+08:00")
    code = _INVALID.get(field.partition(".")[0], f"invalid_{field}")
    return InvalidInteraction(code, field if of_key else _misfitting(raw, field), what)


def _misfitting(raw: bytes, field: str) -> str:
    """`field` with the name of the first member in it that has not its type, if the rest is JSON at all."""
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return field
    members = document.get(field) if isinstance(document, dict) else None
    if field in _TYPED and isinstance(members, dict):
        for name, value in members.items():
            try:
                msgspec.convert(value, _TYPED[field])
            except msgspec.ValidationError:
                return f"{field}.{name[:64]}"
    return field
