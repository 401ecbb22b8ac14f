"""Resend's webhooks (Resend documentation, "Event Types"), signed by Svix as Standard Webhooks are
(standard-webhooks specification, "Signature scheme"). The source's secret is the signing secret, `whsec_...`."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from tierwise.domain.source import Source
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking, Ignored, Signature
from tierwise_ingest.formats.mail.event import DEFERRED, QUEUED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, addresses, document, instant
from tierwise_ingest.formats.mail.signing import base_64, check, check_recent
from tierwise_ingest.request import Request

_TOLERANCE: Final = timedelta(minutes=5)  # each try is signed anew
_NAMES: Final = ("svix", "webhook")

_OF_ALL: Final = {"email.sent": "sent", "email.failed": "failed", "email.suppressed": "rejected"}
"""What is true of each recipient where a message has several."""
_OF_ONE: Final = {
    "email.delivered": "delivered",
    "email.bounced": "bounced",
    "email.complained": "complained",
    "email.opened": "opened",
    "email.clicked": "clicked",
}
_NO_EVENTS: Final = {"email.scheduled": QUEUED, "email.delivery_delayed": DEFERRED}


async def verify(request: Request, _: Source, secrets: Sequence[bytes], checking: Checking) -> None:
    """HMAC-SHA256 over id, timestamp and body; one of several signatures, while Resend's own secret rotates. Raises
    Unverified."""
    id_, timestamp, signatures = (_header(request, part) for part in ("id", "timestamp", "signature"))
    check_recent(timestamp, checking, within=_TOLERANCE)
    message = f"{id_}.{timestamp}.".encode() + request.body
    sent = [one.removeprefix("v1,") for one in signatures.split() if one.startswith("v1,")]
    keys = [key for secret in secrets if (key := _decoded(secret)) is not None]
    check((base_64(key, message) for key in keys), *sent)


def _header(request: Request, part: str) -> str:
    return next((found for name in _NAMES if (found := request.header(f"{name}-{part}"))), "")


def _decoded(secret: bytes) -> bytes | None:
    try:
        return base64.b64decode(secret.strip().removeprefix(b"whsec_"), validate=True)
    except binascii.Error:
        return None


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    notice = Fields(document(request.body))
    name = notice.text("type")
    if name is None:
        raise InvalidBody("type: it is missing.")
    if name in _NO_EVENTS:
        yield _NO_EVENTS[name]
    elif name == "email.received":
        yield _event(notice, "replied", addresses(notice.texts("data", "from")), "data.from", request)
    elif name in _OF_ALL:
        for recipients in [[one] for one in addresses(notice.texts("data", "to"))] or [[]]:
            yield _event(notice, _OF_ALL[name], recipients, "data.to", request)
    elif name in _OF_ONE:
        recipients = addresses(notice.texts("data", "to"))
        # Which of several it was is not said, and it would be wrong of all but one.
        whose = Ignored("recipient_not_said")
        yield whose if len(recipients) > 1 else _event(notice, _OF_ONE[name], recipients, "data.to", request)
    else:
        yield unknown("type") if name.startswith("email.") else Ignored("of_no_customer")


def _event(one: Fields, kind: str, recipients: Sequence[str], field: str, request: Request) -> Event:
    recipient = next(iter(recipients), None)
    data, id_ = one.inner("data"), _header(request, "id")
    several = len(addresses(data.texts("to"))) > 1
    return Event(
        type=kind,
        recipient=recipient,
        field=field,
        said=[one.held, recipient],
        id=id_ if id_ and not several else None,
        time=instant(one.text("created_at")),
        properties=told(
            message_id=data.text("email_id"),
            campaign=data.text("broadcast_id"),
            metadata=_tags(data),
            subject=data.text("subject"),
            reason=data.text("bounce", "message") or data.text("failed", "reason"),
            hard=_hard(data) if kind == "bounced" else None,
            url=data.text("click", "link"),
            user_agent=data.text("click", "userAgent"),
        ),
    )


def _tags(data: Fields) -> dict[str, object]:
    """An object, or an array of names with values."""
    pairs = [Fields(one) for one in data.array("tags")]
    return data.inner("tags").held or {name: one.get("value") for one in pairs if (name := one.text("name"))}


def _hard(data: Fields) -> bool | None:
    kind = data.text("bounce", "type")
    return None if kind is None else kind == "Permanent"


RESEND: Final = webhook(
    "resend",
    "Resend",
    events=events,
    credentials=Signature(verify),
    example={
        "type": "email.clicked",
        "created_at": "2026-11-20T09:30:00.000Z",
        "data": {
            "email_id": "4ef9a417-sample",
            "from": "Shop <news@shop.example>",
            "to": ["li@example.com"],
            "subject": "Spring courses",
            "click": {"link": "https://shop.example/courses", "userAgent": "Mozilla/5.0"},
        },
    },
)
