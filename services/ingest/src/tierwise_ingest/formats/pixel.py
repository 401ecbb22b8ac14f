"""GET /p.gif: one interaction told by an image's address, for pages and mails without JavaScript."""

from collections.abc import Iterator
from typing import Final

from tierwise.asgi import Response
from tierwise.domain.claim import Claim, Terms
from tierwise.domain.interaction import IDENTIFIER_KINDS
from tierwise_ingest import documents
from tierwise_ingest.formats.browser import key_in_query
from tierwise_ingest.formats.format import Format, Item, Route, WriteKey, taken
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

GIF: Final = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
"""One transparent point (GIF89a)."""

_OWN: Final = frozenset({"key", "channel", "type", "id", *IDENTIFIER_KINDS})


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Parameters are `channel` (web), `type` (page_view), `id`, identifiers; every other one is a property."""
    given = request.query
    properties = {name: value for name, value in given.items() if name not in _OWN}
    if "path" not in properties and (page := request.header("referer")):
        properties["page"] = page
    claim = Claim(
        id=given.get("id"),
        time=terms.received if "id" in given else None,
        channel=given.get("channel", "web"),
        type=given.get("type", "page_view"),
        identifiers={kind: given[kind] for kind in IDENTIFIER_KINDS if kind in given},
        properties=dict(properties),
    )
    yield taken(claim, terms)


def gif(outcome: Outcome) -> Response:
    """The picture, whatever was rejected: the header says what, to who looks for it."""
    headers = {"Cache-Control": "no-store"}
    if outcome.rejections:
        first = outcome.rejections[0]
        told = f"{first.code} {first.field or ''}".strip()
        headers["Tierwise-Rejected"] = told.encode("unicode_escape").decode()  # fields are named by senders
    return Response(200, GIF, media_type="image/gif", headers=headers)


def answer(_: Request, outcome: Outcome) -> Response:
    return gif(outcome)


_DOCUMENT: Final = documents.operation(
    "One interaction told by an image's address",
    "send_by_pixel",
    tag="pages",
    secured=False,
    description="Every parameter beside these is a property of the interaction.",
    parameters=[
        documents.KEY,
        documents.parameter("channel", "query", "web when absent.", required=False),
        documents.parameter("type", "query", "page_view when absent.", required=False),
        documents.parameter("id", "query", "Unique in the source; absent: each request counts.", required=False),
        *(documents.parameter(kind, "query", "An identifier.", required=False) for kind in IDENTIFIER_KINDS),
    ],
    answers={
        "200": {
            "description": "A transparent point, whatever was rejected.",
            "headers": {
                "Tierwise-Rejected": {"description": "Code and field, where it was.", "schema": {"type": "string"}}
            },
            "content": {"image/gif": {}},
        }
    },
)

PIXEL: Final = Format(
    name="pixel",
    routes=(Route("GET", "/p.gif", _DOCUMENT),),
    credentials=WriteKey(key_in_query),
    read=read,
    answer=answer,
)
