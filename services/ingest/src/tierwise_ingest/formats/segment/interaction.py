"""Messages as interactions: what each verb says, under the product's names."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from tierwise.domain.claim import Admitted, Claim, Terms
from tierwise.domain.rejection import InvalidInteraction
from tierwise_ingest.formats.believed import take_believed
from tierwise_ingest.formats.format import Item
from tierwise_ingest.formats.segment import properties, traits
from tierwise_ingest.formats.segment.clock import ahead_of, corrected
from tierwise_ingest.formats.segment.consent import scoring_allowed
from tierwise_ingest.formats.segment.identifiers import identifiers_of
from tierwise_ingest.formats.segment.kinds import PAGE, PROFILE, Kind, kind_of
from tierwise_ingest.formats.segment.message import VERBS, Batch, Context, Message, read_message

_NO_CONTEXT: Final = Context()
_CONTACT: Final = ("identifiers.email", "identifiers.phone")
_MONEY: Final = ("properties.amount", "properties.currency")


class Arrival(NamedTuple):
    """What a request says of all its messages. `ahead`: of the sender's clock. `verb`: that the path names.
    `anonymous_id`: of those that name nobody, as RudderStack's header has it."""

    terms: Terms
    ahead: timedelta
    context: Context
    verb: str | None
    anonymous_id: str | None


class Said(NamedTuple):
    """What a verb says. `spare`: what may be left out of it where it is wrong."""

    kind: Kind
    properties: dict[str, Any]
    attributes: dict[str, Any] | None = None
    unfit: Sequence[str] = ()
    spare: tuple[str, ...] = _CONTACT


def arrival(batch: Batch, terms: Terms, *, verb: str | None = None, anonymous_id: str | None = None) -> Arrival:
    ahead = ahead_of(terms.received, batch.sent_at)
    return Arrival(terms, ahead, batch.context or _NO_CONTEXT, verb, anonymous_id)


def item_of(raw: bytes, arrived: Arrival) -> Item:
    try:
        return interaction_of(read_message(raw), arrived)
    except InvalidInteraction as rejection:
        return rejection


def interaction_of(message: Message, arrived: Arrival) -> Admitted:
    """Raises InvalidInteraction, naming the field as the sender does."""
    terms, context = arrived.terms, message.context or arrived.context
    verb = arrived.verb or (message.type or "").lower()
    say = _VERBS.get(verb)
    if say is None:
        raise InvalidInteraction("unknown_type", "type", f"One of {', '.join(VERBS)}")
    kind, given, attributes, unfit, spare = say(message, context)
    if kind.channel == "web" and kind is not PROFILE and (context.page is not None or context.campaign is not None):
        properties.add_context(given, context.page, context.campaign)
    identifiers = identifiers_of(message, context, verb, terms.kinds)
    if not identifiers and arrived.anonymous_id:
        identifiers["anonymous_id"] = arrived.anonymous_id
    timestamp = message.original_timestamp or message.timestamp
    if timestamp is not None:
        ahead = arrived.ahead if message.sent_at is None else ahead_of(terms.received, message.sent_at)
        timestamp = corrected(timestamp, terms.received, ahead)
    claim = Claim(
        id=None if message.message_id is None or message.message_id == "" else str(message.message_id),
        time=timestamp,
        channel=kind.channel,
        type=kind.type,
        identifiers=identifiers,
        attributes=attributes,
        properties=given,
        consent=scoring_allowed(context.consent, context.consent_management),
    )
    return take_believed(claim, terms, _words(message, verb), spare=spare, left_out=unfit)


def _track(message: Message, _: Context) -> Said:
    if not message.event:
        raise InvalidInteraction("missing_event", "event", "A track names its event")
    kind = kind_of(message.event)
    given = properties.of_event(message.event, kind, message.properties or {})
    return Said(kind, given, spare=_CONTACT if kind.channel == "order" else _CONTACT + _MONEY)


def _page(message: Message, context: Context) -> Said:
    given = properties.of_page(message.name, message.category, message.properties or {}, context.page)
    return Said(PAGE, given, spare=_CONTACT + _MONEY)


def _screen(message: Message, _: Context) -> Said:
    given = properties.of_page(message.name, message.category, message.properties or {}, None)
    if message.name:
        given.setdefault("screen", message.name)
    return Said(PAGE, given, spare=_CONTACT + _MONEY)


def _identify(message: Message, context: Context) -> Said:
    known = context.traits if isinstance(context.traits, dict) else {}
    attributes, unfit = traits.of_person(known | (message.traits or {}))
    return Said(PROFILE, {"verb": "identify"}, attributes, unfit, spare=())


def _group(message: Message, _: Context) -> Said:
    group_id = None if message.group_id is None else str(message.group_id)
    attributes, unfit = traits.of_group(group_id, message.traits or {})
    return Said(PROFILE, {"verb": "group", "group_id": group_id}, attributes, unfit)


def _alias(message: Message, _: Context) -> Said:
    if message.previous_id in (None, ""):
        raise InvalidInteraction("missing_previous_id", "previousId", "An alias names the id from before")
    if message.user_id in (None, ""):
        raise InvalidInteraction("missing_user_id", "userId", "An alias names the id from now on")
    return Said(PROFILE, {"verb": "alias"})


def _merge(message: Message, _: Context) -> Said:
    if not message.merge_properties:
        raise InvalidInteraction("missing_merge_properties", "mergeProperties", "A merge names what belongs together")
    return Said(PROFILE, {"verb": "merge"}, spare=())


_VERBS: Final[dict[str, Callable[[Message, Context], Said]]] = {
    "identify": _identify,
    "track": _track,
    "page": _page,
    "screen": _screen,
    "group": _group,
    "alias": _alias,
    "merge": _merge,
}

_THEIRS: Final = {
    "id": "messageId",
    "type": "event",
    "identifiers": "userId",
    "identifiers.user_id": "userId",
    "consent": "context.consent",
}


def _words(message: Message, verb: str) -> Callable[[str], str]:
    def words(field: str) -> str:
        member, _, name = field.partition(".")
        if field == "time":
            return "timestamp" if message.original_timestamp is None else "originalTimestamp"
        if field == "channel":
            return "event" if verb == "track" else "type"
        if field == "identifiers.anonymous_id":
            return "previousId" if verb == "alias" else "anonymousId"
        if member == "identifiers" and name in ("email", "phone"):
            if verb == "merge":
                return "mergeProperties"
            return (
                f"traits.{name}" if verb == "identify" and name in (message.traits or {}) else f"context.traits.{name}"
            )
        if member == "attributes":
            return f"traits.{name}" if name else "traits"
        if field == "properties.amount":
            given = message.properties or {}
            return f"properties.{next((one for one in properties.AMOUNTS if given.get(one) is not None), 'amount')}"
        return _THEIRS.get(field, field)

    return words
