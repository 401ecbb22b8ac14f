"""SparkPost's webhooks (SparkPost API documentation, "Webhooks" and "Events"; bounce classes: "Bounce Classification
Codes"). SparkPost signs nothing: the write key goes into the webhook's Basic credentials.

SparkPost tells of a message's first display twice, by an image at its top (`initial_open`) and one at its end (`open`).
The latter alone counts, unless the webhook's address ends in `?initial_open=opened`, for those who have only the first
reported."""

from collections.abc import Iterator
from typing import Final

from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.formats.mail.event import DEFERRED, EMPTY, QUEUED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, instant, seconds
from tierwise_ingest.formats.mail.signing import KEYED
from tierwise_ingest.request import Request

_TYPES: Final = {
    "delivery": "delivered",
    "open": "opened",
    "amp_open": "opened",
    "click": "clicked",
    "amp_click": "clicked",
    "bounce": "bounced",
    "out_of_band": "bounced",
    "spam_complaint": "complained",
    "list_unsubscribe": "unsubscribed",
    "link_unsubscribe": "unsubscribed",
    "policy_rejection": "rejected",
    "generation_rejection": "rejected",
    "generation_failure": "failed",
}
_INITIAL: Final = frozenset({"initial_open", "amp_initial_open"})
_CLASSES: Final = {
    "60": "autoresponded",  # challenge and response
    "26": "autoresponded",
    "80": "subscribed",
    "90": "unsubscribed",
}
"""Bounce classes that say something else than that it was not delivered."""
_HARD: Final = frozenset({"10", "25", "30"})
"""Invalid recipient, administrative failure, no recipient."""


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    initial = request.query.get("initial_open") == "opened"
    return (_event(one, initial=initial) for one in elements(document(request.body)))


def _event(batched: Fields, *, initial: bool) -> Notice:
    """An item is `{"msys": {CLASS: EVENT}}`."""
    one = Fields(next(iter(batched.inner("msys").held.values()), None))
    if not one.held and isinstance(batched.get("msys"), dict):
        return EMPTY
    name = one.text("type")
    kind = _type(name, one, initial=initial)
    if isinstance(kind, Ignored):
        return kind
    if kind is None:
        return unknown("msys.*.type")
    agent = one.inner("user_agent_parsed")
    return Event(
        type=kind,
        recipient=one.text("raw_rcpt_to") or one.text("rcpt_to"),
        field="msys.*.rcpt_to",
        said=one.held,
        id=one.text("event_id"),
        time=seconds(one.get("timestamp")) or instant(one.text("timestamp")),
        properties=told(
            message_id=one.text("transmission_id") or one.text("message_id"),
            campaign=one.text("campaign_id"),
            tags=one.texts("rcpt_tags"),
            metadata=one.inner("rcpt_meta").held,
            subject=one.text("subject"),
            reason=one.text("raw_reason") or one.text("reason"),
            hard=one.text("bounce_class") in _HARD if kind == "bounced" else None,
            machine=True if kind == "opened" and agent.get("is_prefetched") is True else None,
            url=one.text("target_link_url"),
            user_agent=one.text("user_agent"),
        ),
    )


def _type(name: str | None, one: Fields, *, initial: bool) -> str | Ignored | None:
    if name == "injection":
        return QUEUED
    if name == "delay":
        return DEFERRED
    if name in _INITIAL:
        return "opened" if initial else Ignored("initial_open")
    if name in ("bounce", "out_of_band"):
        return _CLASSES.get(one.text("bounce_class") or "", "bounced")
    if name is not None and name.startswith(("relay_", "sms_", "ab_test_", "ingest_")):
        return Ignored("of_no_customer")
    return None if name is None else _TYPES.get(name)


SPARKPOST: Final = webhook(
    "sparkpost",
    "SparkPost",
    events=events,
    credentials=KEYED,
    example=[
        {
            "msys": {
                "track_event": {
                    "type": "click",
                    "event_id": "92356927693813857",
                    "timestamp": "1795138200",
                    "rcpt_to": "li@example.com",
                    "campaign_id": "spring",
                    "transmission_id": "65832150921904139",
                    "target_link_url": "https://shop.example/courses",
                    "user_agent": "Mozilla/5.0",
                }
            }
        }
    ],
)
