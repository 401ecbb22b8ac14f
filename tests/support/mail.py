"""Webhooks of e-mail providers for tests: a request as formats see it, and what a format makes of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from tierwise.domain.claim import Admitted, Terms
from tierwise.domain.interaction import Interaction
from tierwise.domain.source import BACKEND, Intake, Source
from tierwise_ingest.formats.format import Item
from tierwise_ingest.formats.mail.table import MAIL
from tierwise_ingest.request import Request

FORMATS = {one.name: one for one in MAIL}
NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"


def source(name: str = "mail", **intake: Any) -> Source:
    return Source(id=1, name=name, trust=BACKEND, intake=Intake(**intake))


def terms(*, received: datetime = NOW) -> Terms:
    return Terms(source=source(), received=received, new_id=lambda: "arrival-1", content_key=b"key of tests")


def posted(
    body: bytes | str | dict[str, Any] | list[Any],
    *,
    name: str = "sendgrid",
    headers: Mapping[str, str] | None = None,
    query: str = "",
    method: str = "POST",
    media_type: str = "application/json",
) -> Request:
    sent = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    every = {"content-type": media_type} | {one.lower(): value for one, value in (headers or {}).items()}
    return Request(
        method=method,
        url=f"https://hooks.example/v1/webhooks/{name}/mail{'?' if query else ''}{query}",
        parameters={"source": "mail"},
        query_string=query.encode(),
        headers=[(one.encode(), value.encode()) for one, value in every.items()],
        body=sent,
    )


def form(fields: Mapping[str, Any], *, name: str, headers: Mapping[str, str] | None = None) -> Request:
    return posted(urlencode(fields, doseq=True), name=name, headers=headers, media_type=FORM)


def items(name: str, request: Request, given: Terms | None = None) -> list[Item]:
    return list(FORMATS[name].read(request, given or terms()))


def interactions(name: str, request: Request, given: Terms | None = None) -> list[Interaction]:
    """What is read, all of which must be admitted."""
    found = items(name, request, given)
    assert all(isinstance(one, Admitted) for one in found), found
    return [one.interaction for one in found if isinstance(one, Admitted)]
