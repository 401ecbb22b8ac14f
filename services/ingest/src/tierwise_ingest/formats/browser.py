"""What the script for web pages sends, `tierwise.js`: native interactions of one visitor, with the page's clock.

The key stands in the query, since `navigator.sendBeacon` sends no headers, and the body is text, since anything
else would need a preflight.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from tierwise.asgi import Response, json_response
from tierwise.domain.claim import Terms, decode_claim
from tierwise.domain.identifier import IDENTIFIER_CHARACTERS_MAX
from tierwise.domain.rejection import InvalidInteraction
from tierwise.problem import Unauthorized
from tierwise_ingest import documents
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Format, Item, Route, WriteKey, taken
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    """`sent_at`: by the page's clock, aware. `anonymous_id`: of interactions that name no identifier."""

    sent_at: Annotated[datetime, msgspec.Meta(tz=True)]
    interactions: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=1_000)]
    anonymous_id: Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTIFIER_CHARACTERS_MAX)] | None = None


_decoder = msgspec.json.Decoder(_Sent)


def key_in_query(request: Request) -> str:
    """Raises Unauthorized."""
    key = request.query.get("key")
    if not key:
        raise Unauthorized("Send the source's write key as the parameter `key`.")
    return key


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody. A clock that is wrong is put right by when it says that it sends."""
    try:
        sent = _decoder.decode(request.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBody(f"The body is not what tierwise.js sends: {error}") from error
    try:
        ahead = sent.sent_at - terms.received
    except OverflowError as error:
        raise InvalidBody("sent_at is no time that a clock shows.") from error
    return (_read_one(raw, sent.anonymous_id, ahead, terms) for raw in sent.interactions)


def _read_one(raw: msgspec.Raw, anonymous_id: str | None, ahead: timedelta, terms: Terms) -> Item:
    try:
        claim = decode_claim(raw)
        if claim.time is not None:
            claim.time -= ahead
    except InvalidInteraction as rejection:
        return rejection
    except OverflowError:
        return InvalidInteraction("invalid_time", "time", "It is no time that a clock shows")
    if not claim.identifiers and anonymous_id is not None:
        claim.identifiers = {"anonymous_id": anonymous_id}
    return taken(claim, terms)


def answer(_: Request, outcome: Outcome) -> Response:
    """202 whatever was rejected: a page that is left reads no answer, and a script cannot mend what it sent."""
    rejected = {"rejected": len(outcome.rejections), "results": outcome.rejections}
    return json_response(202, {"accepted": outcome.accepted, **rejected})


_EXAMPLE: Final = {
    "sent_at": "2026-11-20T01:30:02Z",
    "anonymous_id": "5f0c3a1e-8a0f-4b77-9f3c-1f6d2c7f9a10",
    "interactions": [
        {
            "id": "0b0a8f1e-54f2-4c51-8a37-0a4f3c0f7d11",
            "time": "2026-11-20T01:30:01Z",
            "channel": "web",
            "type": "page_view",
            "properties": {"path": "/pricing", "title": "Prices", "referrer": "", "utm_medium": "email"},
        }
    ],
}

_DOCUMENT: Final = documents.operation(
    "What tierwise.js sends",
    "send_from_page",
    tag="pages",
    secured=False,
    parameters=[documents.KEY],
    body={
        "text/plain": {
            "schema": {
                "type": "object",
                "required": ["sent_at", "interactions"],
                "additionalProperties": False,
                "properties": {
                    "sent_at": {"type": "string", "format": "date-time", "description": "By the page's clock."},
                    "anonymous_id": {"type": ["string", "null"], "minLength": 1, "maxLength": 256},
                    "interactions": {"type": "array", "maxItems": 1_000, "items": documents.INTERACTION},
                },
            },
            "example": _EXAMPLE,
        }
    },
    answers={"202": documents.ACCEPTED_ANSWER},
)

BROWSER_PAGE: Final = Format(
    name="browser",
    routes=(Route("POST", "/v1/browser", _DOCUMENT),),
    credentials=WriteKey(key_in_query),
    read=read,
    answer=answer,
)
