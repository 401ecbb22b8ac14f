"""Mailtrap's webhooks for e-mail sending (Mailtrap documentation, "Webhooks", "Verifying webhook signatures"). The
source's secret is the webhook's signature key."""

from collections.abc import Iterator
from typing import Final

from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.mail.event import DEFERRED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, seconds
from tierwise_ingest.formats.mail.signing import body_signed
from tierwise_ingest.request import Request

_TYPES: Final = {
    "delivery": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "reject": "rejected",
    "spam": "complained",
    "unsubscribe": "unsubscribed",
}
_TRIED_AGAIN: Final = frozenset({"soft bounce", "suspension"})


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    body = Fields(document(request.body))
    if not isinstance(body.get("events"), list):
        raise InvalidBody("events: it is no array.")
    for one in elements(body.get("events")):
        yield _event(one)


def _event(one: Fields) -> Notice:
    name = one.text("event")
    if name in _TRIED_AGAIN:
        return DEFERRED
    if name is None or name not in _TYPES:
        return unknown("event")
    id_, category = one.text("event_id"), one.texts("category")
    return Event(
        type=_TYPES[name],
        recipient=one.text("email"),
        field="email",
        said=one.held,
        id=None if id_ is None else f"{name}:{id_}",
        time=seconds(one.get("timestamp")),
        properties=told(
            message_id=one.text("message_id"),
            tags=category,
            metadata=one.inner("custom_variables").held,
            reason=one.text("reason") or one.text("response"),
            hard=True if name == "bounce" else None,
            url=one.text("url"),
            user_agent=one.text("user_agent"),
        ),
    )


MAILTRAP: Final = webhook(
    "mailtrap",
    "Mailtrap",
    events=events,
    credentials=body_signed("mailtrap-signature"),
    example={
        "events": [
            {
                "event": "open",
                "event_id": "sample-open",
                "timestamp": 1795138200,
                "message_id": "sample-message",
                "email": "li@example.com",
                "category": "spring",
                "user_agent": "Mozilla/5.0",
            }
        ]
    },
)
