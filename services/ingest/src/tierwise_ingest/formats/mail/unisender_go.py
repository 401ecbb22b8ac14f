"""Unisender Go's webhooks (Unisender Go API documentation, "Webhook", "Callback format"). The source's secret is the
API key. Unisender Go looks with GET whether the address exists."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from tierwise.domain.source import Source
from tierwise.security.sources import Unverified
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking, Ignored, Signature
from tierwise_ingest.formats.mail.event import DEFERRED, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, elements, instant
from tierwise_ingest.formats.mail.signing import check
from tierwise_ingest.request import Request

_TYPES: Final = {
    "sent": "sent",
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "subscribed": "subscribed",
    "hard_bounced": "bounced",
    "spam": "complained",
}
_AUTH: Final = re.compile(rb'"auth"\s*:\s*"([0-9a-f]{32})"')


async def verify(request: Request, _: Source, secrets: Sequence[bytes], __: Checking) -> None:
    """`auth` is the MD5 of the body with the API key in `auth`'s place. Raises Unverified."""
    if request.method == "GET":
        return
    found = _AUTH.search(request.body)
    if found is None:
        raise Unverified
    before, after = request.body[: found.start(1)], request.body[found.end(1) :]
    hashes = (hashlib.md5(before + secret + after, usedforsecurity=False).hexdigest() for secret in secrets)
    check((one.encode() for one in hashes), found[1].decode())


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    if request.method == "GET":
        return
    body = Fields(document(request.body))
    if not isinstance(body.get("events_by_user"), list):
        raise InvalidBody("events_by_user: it is no array.")
    for user in elements(body.get("events_by_user")):
        for one in user.array("events"):
            yield _event(Fields(one))


def _event(one: Fields) -> Notice:
    if one.text("event_name") == "transactional_spam_block":
        return Ignored("of_no_customer")
    data = one.inner("event_data")
    status = data.text("status")
    if one.text("event_name") != "transactional_email_status" or status is None:
        return unknown("event_name")
    if status == "soft_bounced":
        return DEFERRED
    if status not in _TYPES:
        return unknown("event_data.status")
    info = data.inner("delivery_info")
    return Event(
        type=_TYPES[status],
        recipient=data.text("email"),
        field="event_data.email",
        said=data.held,
        time=instant(data.text("event_time")),
        properties=told(
            message_id=data.text("job_id"),
            metadata=data.inner("metadata").held,
            reason=info.text("destination_response") or info.text("delivery_status") or data.text("comment"),
            hard=True if status == "hard_bounced" else None,
            url=data.text("url"),
            user_agent=info.text("user_agent"),
        ),
    )


UNISENDER_GO: Final = webhook(
    "unisender_go",
    "Unisender Go",
    events=events,
    credentials=Signature(verify),
    probes=("GET",),
    example={
        "auth": "0123456789abcdef0123456789abcdef",
        "events_by_user": [
            {
                "user_id": 1,
                "events": [
                    {
                        "event_name": "transactional_email_status",
                        "event_data": {
                            "job_id": "1sample-job",
                            "email": "li@example.com",
                            "status": "clicked",
                            "event_time": "2026-11-20 09:30:00",
                            "url": "https://shop.example/courses",
                        },
                    }
                ],
            }
        ],
    },
)
