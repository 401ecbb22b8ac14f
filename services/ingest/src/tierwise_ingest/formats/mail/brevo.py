"""Brevo's transactional and marketing webhooks (Brevo developer documentation, "Transactional webhooks", "Marketing
webhooks"). Brevo signs nothing: the write key goes into the webhook's token or Basic credentials."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.formats.mail.event import DEFERRED, QUEUED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, nested, seconds
from tierwise_ingest.formats.mail.signing import KEYED
from tierwise_ingest.request import Request

_TYPES: Final = {
    "delivered": "delivered",
    "hard_bounce": "bounced",
    "soft_bounce": "bounced",
    "invalid_email": "bounced",
    "blocked": "rejected",
    "error": "failed",
    "spam": "complained",
    "complaint": "complained",
    "opened": "opened",
    "unique_opened": "opened",
    "proxy_open": "opened",
    "unique_proxy_open": "opened",
    "click": "clicked",
    "unsubscribe": "unsubscribed",
    "unsubscribed": "unsubscribed",
}
_OF_NO_CUSTOMER: Final = frozenset({"list_addition", "contact_updated", "contact_deleted"})
_MILLISECONDS_FROM: Final = 100_000_000_000
"""`ts_epoch` is documented in milliseconds and sometimes in seconds; this many seconds are the year 5138."""


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    return (_event(one) for one in elements(document(request.body)))


def _event(one: Fields) -> Notice:
    name = one.text("event")
    if name == "request":
        return QUEUED
    if name == "deferred":
        return DEFERRED
    if name in _OF_NO_CUSTOMER:
        return Ignored("of_no_customer")
    if name is None or name not in _TYPES:
        return unknown("event")
    kind = _TYPES[name]
    custom = one.text("X-Mailin-custom")
    return Event(
        type=kind,
        recipient=one.text("email"),
        field="email",
        said=one.held,
        time=_time(one),
        properties=told(
            message_id=one.text("message-id"),
            campaign=one.text("camp_id") or one.text("campaign name"),
            tags=_tags(one),
            metadata=Fields(nested(custom)).held,
            subject=one.text("subject"),
            reason=(one.text("reason") or "").strip(),
            hard=name != "soft_bounce" if kind == "bounced" else None,
            machine=True if "proxy" in name else None,
            url=one.text("link") or one.text("URL"),
            user_agent=one.text("user_agent"),
        ),
    )


def _tags(one: Fields) -> list[str]:
    """`tags`, or `tag`: a list as text, or one tag."""
    if tags := one.texts("tags"):
        return tags
    listed: Any = nested(one.text("tag"))
    return Fields({"tag": listed}).texts("tag") if isinstance(listed, list) else one.texts("tag")


def _time(one: Fields) -> datetime | None:
    """Of what happened; `ts` and `date` are in the zone of the account."""
    for name in ("ts_epoch", "ts_event", "s_epoch"):
        value = one.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return seconds(value / 1000 if value >= _MILLISECONDS_FROM else value)
    return None


BREVO: Final = webhook(
    "brevo",
    "Brevo",
    events=events,
    credentials=KEYED,
    example={
        "event": "click",
        "email": "li@example.com",
        "message-id": "<sample@smtp-relay.example>",
        "ts_epoch": 1795138200000,
        "tags": ["spring"],
        "link": "https://shop.example/courses",
    },
)
