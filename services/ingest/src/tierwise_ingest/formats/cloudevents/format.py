"""CloudEvents 1.0 over HTTP (CloudEvents, HTTP Protocol Binding 1.0.2), in all of its modes."""

from collections.abc import Iterator
from typing import Any, Final

from tierwise.domain.claim import Terms
from tierwise_ingest import documents
from tierwise_ingest.authenticate import write_key
from tierwise_ingest.formats.cloudevents.event import events
from tierwise_ingest.formats.cloudevents.interaction import item_of
from tierwise_ingest.formats.format import Format, Item, Route, WriteKey
from tierwise_ingest.formats.native import answer
from tierwise_ingest.request import Request


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType."""
    return (item_of(event, terms) for event in events(request, items_max=terms.items_max))


_EXAMPLE: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "ord-1042",
    "source": "/shop",
    "type": "com.example.order.purchase",
    "time": "2026-11-20T01:30:00Z",
    "data": {"user_id": "u7", "amount": "1299.00", "currency": "CNY"},
}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "title": "CloudEvent",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "description": "Unique in its source; a repeat changes nothing."},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1, "description": "...CHANNEL.TYPE, as com.example.order.purchase."},
        "time": {"type": "string", "format": "date-time"},
        "data": {"description": "Identifiers and properties, or members of the native form."},
        "data_base64": {"type": "string"},
    },
    "additionalProperties": True,
}

_DOCUMENT: Final = documents.operation(
    "CloudEvents 1.0",
    "send_cloudevents",
    description="In binary mode the attributes are headers `ce-...`, and the body is the data.",
    body={
        "application/cloudevents+json": {"schema": _EVENT, "example": _EXAMPLE},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _EVENT}, "example": [_EXAMPLE]},
        "application/json": {"schema": {"description": "Data, in binary mode."}, "example": _EXAMPLE["data"]},
    },
    answers={"202": documents.ACCEPTED_ANSWER},
)

CLOUDEVENTS: Final = Format(
    name="cloudevents",
    routes=(Route("POST", "/v1/cloudevents", _DOCUMENT),),
    credentials=WriteKey(write_key),
    read=read,
    answer=answer,
)
