"""Twilio SendGrid's Event Webhook (SendGrid documentation, "Event Webhook Reference" and "Getting Started with the
Event Webhook Security Features"). The source's secret is the verification key that SendGrid shows."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tierwise.domain.source import Source
from tierwise.security.sources import Unverified
from tierwise_ingest.formats.format import Checking, Ignored, Signature
from tierwise_ingest.formats.mail.event import DEFERRED, QUEUED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, seconds
from tierwise_ingest.formats.mail.signing import check_recent, decoded, public_keys
from tierwise_ingest.request import Request

_SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
_TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"

_REPLAY_WINDOW: Final = timedelta(hours=25)
"""SendGrid tries for a day. A shorter window would lose events; what is repeated within it is a duplicate by its id."""

_TYPES: Final = {
    "delivered": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "dropped": "rejected",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "subscribed",
}
_KNOWN: Final = frozenset({
    "asm_group_id", "attempt", "bounce_classification", "category", "cert_err", "email", "event", "ip",
    "marketing_campaign_id", "marketing_campaign_name", "marketing_campaign_split_id", "marketing_campaign_version",
    "newsletter", "phase_id", "pool", "post_type", "reason", "response", "send_at", "sg_content_type",
    "sg_event_id", "sg_machine_open", "sg_message_id", "sg_template_id", "sg_template_name", "sg_user_id",
    "singlesend_id", "singlesend_name", "smtp-id", "status", "template_id", "template_hash", "template_version_id",
    "timestamp", "tls", "type", "url", "url_offset", "useragent",
})  # fmt: skip
"""What is not among these are the unique arguments that the sender of the message gave it."""


async def verify(request: Request, _: Source, secrets: Sequence[bytes], checking: Checking) -> None:
    """ECDSA on P-256 with SHA-256, over timestamp and body. Raises Unverified."""
    timestamp = request.header(_TIMESTAMP) or ""
    check_recent(timestamp, checking, within=_REPLAY_WINDOW)
    signature, message = decoded(request.header(_SIGNATURE)), timestamp.encode() + request.body
    if not any(_signed(key, signature, message) for key in public_keys(secrets)):
        raise Unverified


def _signed(key: object, signature: bytes, message: bytes) -> bool:
    if not isinstance(key, EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    return (_event(one) for one in elements(document(request.body)))


def _event(one: Fields) -> Notice:
    name = one.text("event")
    if name == "processed":
        return QUEUED
    if name == "deferred":
        return DEFERRED
    if name == "account_status_change":
        return Ignored("of_no_customer")
    if name is None or name not in _TYPES:
        return unknown("event")
    machine = one.get("sg_machine_open")
    return Event(
        type=_TYPES[name],
        recipient=one.text("email"),
        field="email",
        said=one.held,
        id=one.text("sg_event_id"),
        time=seconds(one.get("timestamp")),
        properties=told(
            message_id=one.text("sg_message_id"),
            campaign=one.text("singlesend_name") or one.text("marketing_campaign_name"),
            tags=one.texts("category"),
            metadata={key: value for key, value in one.held.items() if key not in _KNOWN},
            reason=one.text("reason") or one.text("response"),
            # `blocked` is a refusal of this message, `bounce` of the address.
            hard=one.get("type") != "blocked" if name == "bounce" else None,
            machine=machine if name == "open" and isinstance(machine, bool) else None,
            url=one.text("url"),
            user_agent=one.text("useragent"),
        ),
    )


SENDGRID: Final = webhook(
    "sendgrid",
    "Twilio SendGrid",
    events=events,
    credentials=Signature(verify),
    example=[
        {
            "event": "click",
            "email": "li@example.com",
            "timestamp": 1795138200,
            "sg_event_id": "c2FtcGxlLWNsaWNr",
            "sg_message_id": "sample-message.recvd-1",
            "category": ["spring"],
            "url": "https://shop.example/courses",
            "useragent": "Mozilla/5.0",
        }
    ],
)
