"""Requests of Segment's and RudderStack's clients for tests, and what the formats make of them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tierwise.domain.claim import Admitted, Terms
from tierwise.domain.interaction import Interaction
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, Source, Trust
from tierwise_ingest.formats.format import Item
from tierwise_ingest.formats.rudderstack import RUDDERSTACK
from tierwise_ingest.formats.segment.format import SEGMENT
from tierwise_ingest.request import Request

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
_BY_ROUTE = {(route.method, route.path): one for one in (SEGMENT, *RUDDERSTACK) for route in one.routes}
PATHS = [path for _, path in _BY_ROUTE]


def terms(trust: Trust = BACKEND) -> Terms:
    source = Source(id=1, name="shop", trust=trust)
    return Terms(source=source, received=NOW, new_id=lambda: "arrival-1", content_key=b"key of tests")


def requested(
    path: str, body: Any = b"", *, query: str = "", media_type: str = "application/json", **headers: str
) -> Request:
    """`headers`: with `_` for `-`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    every = {"content-type": media_type} | {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Request(
        method="GET" if path.startswith("/pixel") else "POST",
        url=f"https://in.example{path}{'?' if query else ''}{query}",
        parameters={},
        query_string=query.encode(),
        headers=[(name.encode(), value.encode()) for name, value in every.items()],
        body=content,
    )


def items(request: Request, *, trust: Trust = BACKEND) -> list[Item]:
    path = request.url.removeprefix("https://in.example").partition("?")[0]
    return list(_BY_ROUTE[request.method, path].read(request, terms(trust)))


def one(verb: str, *, trust: Trust = BACKEND, **message: Any) -> Interaction:
    """The interaction that one message is, which must be admitted, of `u1` unless it says otherwise."""
    return admitted(verb, trust=trust, **message).interaction


def admitted(verb: str, *, trust: Trust = BACKEND, **message: Any) -> Admitted:
    (item,) = items(requested(f"/v1/{verb}", _about_somebody(message)), trust=trust)
    assert isinstance(item, Admitted), item
    return item


def rejected(verb: str, *, trust: Trust = BACKEND, **message: Any) -> tuple[str, str | None]:
    """(code, field)."""
    (item,) = items(requested(f"/v1/{verb}", _about_somebody(message)), trust=trust)
    assert isinstance(item, InvalidInteraction), item
    return item.code, item.field


def batch(*messages: Any, **envelope: Any) -> Request:
    return requested("/v1/batch", {"batch": messages, **envelope})


def _about_somebody(message: Mapping[str, Any]) -> dict[str, Any]:
    somebody = {} if "userId" in message or "anonymousId" in message else {"userId": "u1"}
    return {"messageId": "m1", **somebody, **message}
