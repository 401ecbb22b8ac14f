"""Postal's webhooks (Postal documentation, "Webhooks"; its signatures: Postal's source, `Postal::HTTP` and
`Postal::Signer`). The source's secret is the server's public signing key, as `postal default-dkim-record` shows it."""

from collections.abc import Iterator, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tierwise.domain.source import Source
from tierwise.security.sources import Unverified
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking, Ignored, Signature
from tierwise_ingest.formats.mail.event import DEFERRED, QUEUED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, addresses, document, seconds
from tierwise_ingest.formats.mail.signing import decoded, public_keys
from tierwise_ingest.request import Request

_STATUSES: Final = {"Sent": "delivered", "HardFail": "failed"}


async def verify(request: Request, _: Source, secrets: Sequence[bytes], __: Checking) -> None:
    """RSA over the body with SHA-256; with SHA-1 where an older Postal sends nothing else. Raises Unverified."""
    newer = request.header("x-postal-signature-256")
    signature = decoded(newer or request.header("x-postal-signature"))
    algorithm = SHA256() if newer else SHA1()  # noqa: S303  (what versions before 3.1 sign with)
    if not any(_signed(key, signature, request.body, algorithm) for key in public_keys(secrets)):
        raise Unverified


def _signed(key: object, signature: bytes, message: bytes, algorithm: SHA1 | SHA256) -> bool:
    if not isinstance(key, RSAPublicKey):
        return False
    try:
        key.verify(signature, message, PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    one = Fields(document(request.body))
    name = one.text("event")
    if name is None:
        raise InvalidBody("event: it is missing.")
    payload = one.inner("payload")
    message = payload.inner("message").held or payload.inner("original_message").held
    yield _event(name, one, payload, Fields(message)) if message else Ignored("of_no_customer")


def _event(name: str, one: Fields, payload: Fields, message: Fields) -> Notice:
    if message.text("direction") == "incoming":
        return Ignored("incoming")
    kind = _type(name, payload)
    if isinstance(kind, Ignored):
        return kind
    if kind is None:
        return unknown("event")
    return Event(
        type=kind,
        recipient=next(iter(addresses(message.texts("to"))), None),
        field="payload.message.to",
        said=one.held,
        id=one.text("uuid"),
        time=seconds(one.get("timestamp")),
        properties=told(
            message_id=message.text("message_id"),
            tags=message.texts("tag"),
            subject=message.text("subject"),
            reason=(payload.text("output") or payload.text("details") or "").strip(),
            url=payload.text("url"),
            user_agent=payload.text("user_agent"),
        ),
    )


def _type(name: str, payload: Fields) -> str | Ignored | None:
    if payload.inner("bounce").held:
        return "bounced"
    if name == "MessageLinkClicked":
        return "clicked"
    if name == "MessageLoaded":
        return "opened"
    status = payload.text("status") or ""
    return {"SoftFail": DEFERRED, "Held": QUEUED}.get(status) or _STATUSES.get(status)


POSTAL: Final = webhook(
    "postal",
    "Postal",
    events=events,
    credentials=Signature(verify),
    example={
        "event": "MessageLinkClicked",
        "timestamp": 1795138200.25,
        "uuid": "0d5b1c3e-sample",
        "payload": {
            "message": {"message_id": "sample@shop.example", "direction": "outgoing", "to": "li@example.com"},
            "url": "https://shop.example/courses",
            "user_agent": "Mozilla/5.0",
        },
    },
)
