"""Requests of Sensors Analytics' SDKs for tests, and what the format makes of them."""

import base64
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from tierwise.domain.claim import Admitted, Terms
from tierwise.domain.interaction import Interaction
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, Source, Trust
from tierwise_ingest.formats.format import Item
from tierwise_ingest.formats.sensors.format import SENSORS
from tierwise_ingest.formats.sensors.payload import java_hash
from tierwise_ingest.request import Request

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
FORM = "application/x-www-form-urlencoded"


def terms(trust: Trust = BACKEND) -> Terms:
    source = Source(id=1, name="app", trust=trust)
    return Terms(source=source, received=NOW, new_id=lambda: "arrival-1", content_key=b"key of tests", items_max=100)


def encoded(document: object, *, compressed: bool = False) -> str:
    """As `data` and `data_list` carry it."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.b64encode(gzip.compress(content) if compressed else content).decode()


def requested(
    fields: dict[str, Any] | bytes,
    *,
    path: str = "/sa",
    method: str = "POST",
    media_type: str = FORM,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Request:
    form = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    query = form if method == "GET" else b"token=KEY"
    return Request(
        method=method,
        url=f"https://in.example{path}?{query.decode('latin-1')}",
        parameters={},
        query_string=query,
        headers=[(b"content-type", media_type.encode()), *headers],
        body=b"" if method == "GET" else form,
    )


def sent(*messages: dict[str, Any]) -> Request:
    """A batch, as the SDK for Python sends it."""
    return requested({"data_list": encoded(messages, compressed=True), "gzip": 1})


def pictured(message: dict[str, Any], *, path: str = "/sa.gif", **headers: str) -> Request:
    """One message in an image's address, as the SDK for JavaScript sends it."""
    data = encoded(message)
    fields = {"data": data, "ext": f"crc={java_hash(data)}"}
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return requested(fields, path=path, method="GET", headers=given)


def items(request: Request, *, trust: Trust = BACKEND) -> list[Item]:
    return list(SENSORS.read(request, terms(trust)))


def admitted(message: dict[str, Any], *, trust: Trust = BACKEND) -> Admitted:
    (item,) = items(sent(_whole(message)), trust=trust)
    assert isinstance(item, Admitted), item
    return item


def one(type_: str, *, trust: Trust = BACKEND, **message: Any) -> Interaction:
    """The interaction that one message is, which must be admitted, of the cookie `c1` unless it says otherwise."""
    return admitted({"type": type_, **message}, trust=trust).interaction


def rejected(**message: Any) -> tuple[str, str | None]:
    """(code, field)."""
    (item,) = items(sent(_whole(message)))
    assert isinstance(item, InvalidInteraction), item
    return item.code, item.field


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    return {"distinct_id": "c1", "time": NOW_MS - 60_000} | message
