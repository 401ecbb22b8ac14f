"""Requests of other systems for tests, as formats see them, and what a format makes of them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tierwise.domain.claim import Admitted, Terms
from tierwise.domain.interaction import Interaction
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, Intake, Source, Trust
from tierwise_ingest.formats.format import Format, Item
from tierwise_ingest.request import Request

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)


def terms(*, trust: Trust = BACKEND, **intake: Any) -> Terms:
    source = Source(id=1, name="system", trust=trust, intake=Intake(**intake))
    return Terms(source=source, received=NOW, new_id=lambda: "arrival-1", content_key=b"key of tests", items_max=100)


def requested(
    path: str,
    body: Any = b"",
    *,
    media_type: str | None = None,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Request:
    """`path`: with its query. `body`: bytes, or a document that becomes JSON."""
    every = ({} if media_type is None else {"content-type": media_type}) | dict(headers or {})
    return Request(
        method=method,
        url=f"https://in.example{path}",
        parameters={"source": "system"},
        query_string=path.partition("?")[2].encode(),
        headers=[(name.lower().encode(), value.encode()) for name, value in every.items()],
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


def items(format_: Format, request: Request, given: Terms | None = None) -> list[Item]:
    return list(format_.read(request, given or terms()))


def one(format_: Format, request: Request, given: Terms | None = None) -> Interaction:
    """The interaction that is read, which must be the only item and admitted."""
    (item,) = items(format_, request, given)
    assert isinstance(item, Admitted), item
    return item.interaction


def rejected(format_: Format, request: Request, given: Terms | None = None) -> tuple[str, str | None]:
    """(code, field)."""
    (item,) = items(format_, request, given)
    assert isinstance(item, InvalidInteraction), item
    return item.code, item.field
