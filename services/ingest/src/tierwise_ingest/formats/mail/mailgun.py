"""Mailgun's webhooks (Mailgun documentation, "Webhooks", "Securing Webhooks", "Event Structure"; and the form of the
legacy webhooks). The source's secret is the HTTP webhook signing key."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl

from tierwise.asgi import Response, problem_response
from tierwise.domain.source import Source
from tierwise.problem import Problem
from tierwise_ingest import documents
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking, Ignored, Signature
from tierwise_ingest.formats.mail import event as mail
from tierwise_ingest.formats.mail.event import DEFERRED, QUEUED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, addresses, document, nested, seconds
from tierwise_ingest.formats.mail.signing import check, hexadecimal
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

_REPLAY_WINDOW: Final = timedelta(hours=9)
"""Mailgun tries for 8 hours and a quarter."""

_TYPES: Final = {
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
    "rejected": "rejected",
    # of the legacy form alone
    "bounced": "bounced",
    "dropped": "rejected",
}
_OF_NO_CUSTOMER: Final = frozenset({"stored", "list_member_uploaded", "list_member_upload_error", "list_uploaded"})
_FORM: Final = "application/x-www-form-urlencoded"


class NotAcceptable(Problem):
    """What Mailgun does not send again; anything else but success it does."""

    status, code, title = 406, "not_acceptable", "It would be refused however often it is sent"


async def verify(request: Request, source: Source, secrets: Sequence[bytes], checking: Checking) -> None:
    """HMAC-SHA256 of timestamp and token, which says nothing of the body: a token is good for one body alone. Raises
    NotAcceptable where another try would not help, Unverified where it may once the source has the right key."""
    try:
        signed = _signed(request)
    except InvalidBody as error:
        raise NotAcceptable(error.detail) from error
    timestamp, token = signed.text("timestamp"), signed.text("token")
    at = seconds(timestamp)
    if timestamp is None or token is None or at is None:
        raise NotAcceptable("signature: it needs timestamp, token and signature.")
    message = (timestamp + token).encode("utf-8", "replace")
    check((hexadecimal(secret, message) for secret in secrets), signed.text("signature"))
    if abs(checking.now - at) > _REPLAY_WINDOW:
        raise NotAcceptable("signature.timestamp: it is too old, or ahead.")
    until = at + _REPLAY_WINDOW
    if not checking.is_alone(f"mailgun {source.id} {token}", _said(request), until=until):
        raise NotAcceptable("signature.token: it came with another body before.")


def _signed(request: Request) -> Fields:
    if request.media_type == _FORM:
        return Fields(request.form)
    return Fields(document(request.body)).inner("signature")


def _said(request: Request) -> bytes:
    return hashlib.blake2b(request.body, digest_size=16).digest()


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    if request.media_type == _FORM:
        pairs = parse_qsl(request.body.decode("utf-8", "replace"))
        yield _legacy(Fields(request.form), tags=[value for name, value in pairs if name == "tag"])
        return
    notice = Fields(document(request.body)).inner("event-data")
    if not notice.held:
        raise InvalidBody("event-data: it is missing.")
    yield _event(notice)


def _event(one: Fields) -> Notice:
    name, kind = one.text("event"), None
    if name == "accepted":
        return QUEUED
    if name in _OF_NO_CUSTOMER:
        return Ignored("of_no_customer")
    if name == "failed":
        if one.text("severity") == "temporary":
            return DEFERRED
        kind = "bounced"
    elif name is not None:
        kind = _TYPES.get(name)
    if kind is None:
        return unknown("event-data.event")
    id_, timestamp = one.text("id"), one.get("timestamp")
    status, client = one.inner("delivery-status"), one.inner("client-info")
    return Event(
        type=kind,
        recipient=one.text("recipient") or next(iter(addresses(one.texts("message", "headers", "to"))), None),
        field="event-data.recipient",
        said=one.held,
        id=None if id_ is None else f"{id_}:{timestamp}",  # an id is unique within a day
        time=seconds(timestamp),
        properties=told(
            message_id=one.text("message", "headers", "message-id"),
            campaign=next(iter(one.texts("campaigns")), None),
            tags=one.texts("tags"),
            metadata=one.inner("user-variables").held,
            subject=one.text("message", "headers", "subject"),
            reason=status.text("message") or status.text("description") or one.text("reject", "reason"),
            hard=True if kind == "bounced" else None,
            machine=True if kind == "opened" and client.text("bot") else None,
            url=one.text("url"),
            user_agent=client.text("user-agent"),
        ),
    )


def _legacy(one: Fields, *, tags: list[str]) -> Notice:
    name = one.text("event")
    if name is None or name not in _TYPES:
        return unknown("event")
    return Event(
        type=_TYPES[name],
        recipient=one.text("recipient"),
        field="recipient",
        said=one.held,
        id=one.text("token"),
        time=seconds(one.get("timestamp")),
        properties=told(
            message_id=one.text("Message-Id") or one.text("message-id"),
            campaign=one.text("campaign-name"),
            tags=tags,
            metadata=Fields(nested(one.text("variables"))).held,
            reason=one.text("error") or one.text("description"),
            hard=True if name == "bounced" else None,
            url=one.text("url"),
            user_agent=one.text("user-agent"),
        ),
    )


def answer(request: Request, outcome: Outcome) -> Response:
    """406 where nothing was taken and nothing kept."""
    if outcome.rejections and not outcome.accepted and not outcome.kept:
        first = outcome.rejections[0]
        return problem_response(NotAcceptable(first.detail, field=first.field, reason=first.code))
    return mail.answer(request, outcome)


MAILGUN: Final = webhook(
    "mailgun",
    "Mailgun",
    events=events,
    credentials=Signature(verify),
    answer=answer,
    answers={"406": documents.problem("It would be refused however often it is sent.")},
    example={
        "signature": {"timestamp": "1795138200", "token": "sample-token", "signature": "hexadecimal"},
        "event-data": {
            "event": "opened",
            "id": "sample-open",
            "timestamp": 1795138200.5,
            "recipient": "li@example.com",
            "tags": ["spring"],
            "message": {"headers": {"message-id": "sample@shop.example"}},
            "client-info": {"user-agent": "Mozilla/5.0"},
        },
    },
)
