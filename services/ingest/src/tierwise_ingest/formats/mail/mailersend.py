"""MailerSend's webhooks (MailerSend developer documentation, "Webhooks"). The source's secret is the webhook's signing
secret."""

from collections.abc import Iterator
from typing import Final

from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.formats.mail.event import DEFERRED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, instant
from tierwise_ingest.formats.mail.signing import body_signed
from tierwise_ingest.request import Request

_TYPES: Final = {
    "activity.sent": "sent",
    "activity.delivered": "delivered",
    "activity.soft_bounced": "bounced",
    "activity.hard_bounced": "bounced",
    "activity.opened": "opened",
    "activity.opened_unique": "opened",
    "activity.clicked": "clicked",
    "activity.clicked_unique": "clicked",
    "activity.unsubscribed": "unsubscribed",
    "activity.spam_complaint": "complained",
}


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    one = Fields(document(request.body))
    name = one.text("type")
    if name is None:
        raise InvalidBody("type: it is missing.")
    if name == "activity.deferred":
        yield DEFERRED
    elif name in _TYPES:
        yield _event(one, _TYPES[name])
    else:
        yield unknown("type") if name.startswith("activity.") else Ignored("of_no_customer")


def _event(one: Fields, kind: str) -> Event:
    data, email = one.inner("data"), one.inner("data", "email")
    return Event(
        type=kind,
        recipient=email.text("recipient", "email"),
        field="data.email.recipient.email",
        said=data.held,
        id=data.text("id"),
        time=instant(data.text("created_at")) or instant(one.text("created_at")),
        properties=told(
            message_id=email.text("message", "id"),
            tags=email.texts("tags"),
            subject=email.text("subject"),
            reason=data.text("morph", "readable_reason") or data.text("morph", "reason"),
            hard=one.text("type") == "activity.hard_bounced" if kind == "bounced" else None,
            url=data.text("morph", "url"),
        ),
    )


MAILERSEND: Final = webhook(
    "mailersend",
    "MailerSend",
    events=events,
    credentials=body_signed("signature"),
    example={
        "type": "activity.clicked",
        "created_at": "2026-11-20T09:30:00.000000Z",
        "data": {
            "id": "sample-click",
            "created_at": "2026-11-20T09:30:00.000000Z",
            "email": {
                "message": {"id": "sample-message"},
                "recipient": {"email": "li@example.com"},
                "tags": ["spring"],
            },
            "morph": {"object": "click", "url": "https://shop.example/courses"},
        },
    },
)
