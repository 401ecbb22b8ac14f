"""Postmark's webhooks (Postmark developer documentation, "Webhooks"; bounce types: "Bounce API"). Postmark signs
nothing: the write key goes into the webhook's Basic credentials or a custom header."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.formats.mail.event import DEFERRED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, instant
from tierwise_ingest.formats.mail.signing import KEYED
from tierwise_ingest.request import Request

_TYPES: Final = {
    "Delivery": "delivered",
    "Open": "opened",
    "Click": "clicked",
    "SpamComplaint": "complained",
    "Inbound": "replied",
}
_BOUNCES: Final = {
    "Unsubscribe": "unsubscribed",
    "Subscribe": "subscribed",
    "SpamComplaint": "complained",
    "SpamNotification": "complained",
    "ChallengeVerification": "autoresponded",
    "AutoResponder": "autoresponded",
    "VirusNotification": "rejected",
    "SMTPApiError": "failed",
    "TemplateRenderingFailed": "failed",
}
"""Bounce types that are something else; all others are bounces."""
_HARD: Final = frozenset({"HardBounce", "BadEmailAddress", "ManuallyDeactivated"})
_SUPPRESSED: Final = {"HardBounce": "bounced", "SpamComplaint": "complained", "ManualSuppression": "unsubscribed"}


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    return (_event(one) for one in elements(document(request.body)))


def _event(one: Fields) -> Notice:
    record = one.text("RecordType")
    if record == "SMTP API Error":
        return Ignored("of_no_customer")
    kind = _type(record, one)
    if isinstance(kind, Ignored):
        return kind
    if kind is None:
        return unknown("RecordType")
    field = {"Bounce": "Email", "SpamComplaint": "Email", "Inbound": "From"}.get(record or "", "Recipient")
    hard = one.text("SuppressionReason" if record == "SubscriptionChange" else "Type") in _HARD
    return Event(
        type=kind,
        recipient=one.text("FromFull", "Email") or one.text(field) if field == "From" else one.text(field),
        field=field,
        said=one.held,
        id=f"{record}:{one.text('ID')}" if one.text("ID") else None,
        time=_time(one),
        properties=told(
            message_id=one.text("MessageID"),
            tags=one.texts("Tag"),
            metadata=one.inner("Metadata").held,
            subject=one.text("Subject"),
            reason=one.text("Description") or one.text("Details"),
            hard=hard if kind == "bounced" else None,
            url=one.text("OriginalLink"),
            user_agent=one.text("UserAgent"),
        ),
    )


def _type(record: str | None, one: Fields) -> str | Ignored | None:
    if record == "Bounce":
        bounce = one.text("Type") or ""
        return DEFERRED if bounce == "Transient" else _BOUNCES.get(bounce, "bounced")
    if record == "SubscriptionChange":
        if one.get("SuppressSending") is False:
            return "subscribed"
        return _SUPPRESSED.get(one.text("SuppressionReason") or "", "unsubscribed")
    return None if record is None else _TYPES.get(record)


def _time(one: Fields) -> datetime | None:
    for name in ("ReceivedAt", "DeliveredAt", "BouncedAt", "ChangedAt"):
        if at := instant(one.text(name)):
            return at
    return None


POSTMARK: Final = webhook(
    "postmark",
    "Postmark",
    events=events,
    credentials=KEYED,
    example={
        "RecordType": "Click",
        "MessageID": "6b1c0d3e-sample",
        "Recipient": "li@example.com",
        "ReceivedAt": "2026-11-20T09:30:00Z",
        "Tag": "spring",
        "OriginalLink": "https://shop.example/courses",
    },
)
