"""Mailchimp Transactional's (Mandrill's) webhooks (Mailchimp Transactional documentation, "Webhooks", "Authenticating
webhook requests"). The source's secret is the webhook's authentication key.

Mandrill looks with HEAD whether the address exists, and tries it before there is a key, with no events, signed with a
key that everybody knows."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl

from tierwise.domain.source import Source
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking, Ignored, Signature
from tierwise_ingest.formats.mail.event import DEFERRED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, seconds
from tierwise_ingest.formats.mail.signing import base_64, check
from tierwise_ingest.request import Request

_TRIED_WITH: Final = b"test-webhook"
_TYPES: Final = {
    "send": "sent",
    "delivered": "delivered",
    "hard_bounce": "bounced",
    "soft_bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "spam": "complained",
    "unsub": "unsubscribed",
    "reject": "rejected",
    "inbound": "replied",
}


async def verify(request: Request, _: Source, secrets: Sequence[bytes], __: Checking) -> None:
    """HMAC-SHA1 over the address that was called, then each field's name and value in order of the names. Raises
    Unverified."""
    if request.method == "HEAD":
        return
    fields = sorted(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    message = (request.url + "".join(name + value for name, value in fields)).encode("utf-8", "replace")
    good = [*secrets, _TRIED_WITH] if fields == [("mandrill_events", "[]")] else secrets
    check((base_64(secret, message, "sha1") for secret in good), request.header("x-mandrill-signature"))


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    if request.method == "HEAD":
        return
    sent = request.form.get("mandrill_events")
    if sent is None:
        raise InvalidBody("mandrill_events: the form has no such field.")
    for one in elements(document(sent.encode("utf-8", "replace"))):
        yield _event(one)


def _event(one: Fields) -> Notice:
    name = one.text("event")
    if name == "deferral":
        return DEFERRED
    if name is None and one.text("type") in ("blacklist", "whitelist"):
        return Ignored("of_no_customer")
    if name is None or name not in _TYPES:
        return unknown("event")
    kind, message = _TYPES[name], one.inner("msg")
    sender = "from_email" if kind == "replied" else "email"
    return Event(
        type=kind,
        recipient=message.text(sender),
        field=f"msg.{sender}",
        said=one.held,
        time=seconds(one.get("ts")),
        properties=told(
            message_id=one.text("_id"),
            campaign=message.text("template"),
            tags=message.texts("tags"),
            metadata=message.inner("metadata").held,
            subject=message.text("subject"),
            reason=message.text("diag") or message.text("bounce_description"),
            hard=name == "hard_bounce" if kind == "bounced" else None,
            url=one.text("url"),
            user_agent=one.text("user_agent"),
        ),
    )


MANDRILL: Final = webhook(
    "mandrill",
    "Mailchimp Transactional",
    events=events,
    credentials=Signature(verify),
    probes=("HEAD",),
    media_type="application/x-www-form-urlencoded",
    example={
        "mandrill_events": '[{"event": "click", "_id": "sample-message", "ts": 1795138200, '
        '"url": "https://shop.example/courses", "msg": {"email": "li@example.com", "tags": ["spring"]}}]'
    },
)
