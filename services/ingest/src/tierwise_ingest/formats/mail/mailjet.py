"""Mailjet's Event API (Mailjet developer documentation, "Event API: real-time notifications"). Mailjet signs nothing:
the write key stands in the address as Basic credentials."""

from collections.abc import Iterator
from typing import Final

from tierwise_ingest.formats.mail.event import DEFERRED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, nested, seconds
from tierwise_ingest.formats.mail.signing import KEYED
from tierwise_ingest.request import Request

_TYPES: Final = {
    "sent": "delivered",  # accepted by the recipient's server, as its documentation says
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "blocked": "rejected",
    "spam": "complained",
    "unsub": "unsubscribed",
}


def events(request: Request) -> Iterator[Notice]:
    """One event or, grouped, an array. Raises InvalidBody."""
    return (_event(one) for one in elements(document(request.body)))


def _event(one: Fields) -> Notice:
    name = one.text("event")
    if name is None or name not in _TYPES:
        return unknown("event")
    error = one.text("error")
    if name == "bounce" and error == "greylisted":
        return DEFERRED
    return Event(
        type=_TYPES[name],
        recipient=one.text("email"),
        field="email",
        said=one.held,
        time=seconds(one.get("time")),
        properties=told(
            message_id=one.text("MessageID"),
            campaign=one.text("customcampaign"),
            metadata=_payload(one),
            reason=error or one.text("comment"),
            hard=one.get("hard_bounce") is True if name == "bounce" else None,
            url=one.text("url"),
            user_agent=one.text("agent"),
        ),
    )


def _payload(one: Fields) -> object:
    """What the sender of the message gave it, a text that often holds JSON."""
    payload = one.text("Payload")
    return Fields(nested(payload)).held or payload


MAILJET: Final = webhook(
    "mailjet",
    "Mailjet",
    events=events,
    credentials=KEYED,
    example=[
        {
            "event": "open",
            "time": 1795138200,
            "MessageID": 19421777835146490,
            "email": "li@example.com",
            "customcampaign": "spring",
            "agent": "Mozilla/5.0",
        }
    ],
)
