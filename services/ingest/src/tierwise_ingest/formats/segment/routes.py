"""The routes of Segment's Tracking API, and what OpenAPI says of them."""

from typing import Any, Final

from tierwise_ingest import documents
from tierwise_ingest.formats.format import Route

_SENT: Final = {"messageId": "5f0c3a1e-0001", "timestamp": "2026-11-20T01:30:00.000Z", "userId": "u7"}
_ORDER: Final = {
    "order_id": "o-1042",
    "revenue": 1299.0,
    "currency": "CNY",
    "products": [{"sku": "c-1", "quantity": 1}],
}
_CAMPAIGN: Final = {"campaign": {"source": "newsletter", "medium": "email"}}

_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "identify": _SENT | {"traits": {"email": "li@example.com", "industry": "education", "address": {"city": "上海"}}},
    "track": _SENT | {"event": "Order Completed", "properties": _ORDER},
    "page": _SENT | {"name": "Pricing", "properties": {"path": "/pricing"}, "context": _CAMPAIGN},
    "screen": _SENT | {"name": "Pricing"},
    "group": _SENT | {"groupId": "g3", "traits": {"name": "Example Ltd", "employees": 120}},
    "alias": _SENT | {"previousId": "5f0c3a1e"},
}
_BATCH: Final = {
    "sentAt": "2026-11-20T01:30:02.000Z",
    "batch": [example | {"type": verb, "messageId": f"m-{verb}"} for verb, example in _EXAMPLES.items()],
}

_ID: Final = {"type": ["string", "integer", "null"]}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
MESSAGE: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Message",
    "description": "At least one of userId and anonymousId; other members are not read.",
    "properties": {
        "type": {"enum": ["identify", "track", "page", "screen", "group", "alias"], "description": "In a batch."},
        "messageId": _ID | {"description": "Unique in its source; the same again changes nothing."},
        "userId": _ID,
        "anonymousId": _ID,
        "previousId": _ID | {"description": "Of an alias."},
        "groupId": _ID | {"description": "Of a group."},
        "event": {"type": ["string", "null"], "description": "Of a track."},
        "name": {"type": ["string", "null"], "description": "Of a page or screen."},
        "category": {"type": ["string", "null"], "description": "Of a page."},
        "properties": {"type": ["object", "null"]},
        "traits": {"type": ["object", "null"]},
        "context": {"type": ["object", "null"], "description": "traits, page, campaign, consent, consentManagement."},
        "timestamp": _TIME,
        "originalTimestamp": _TIME,
        "sentAt": _TIME | {"description": "By the sender's clock, which is put right by it."},
        "writeKey": {"type": "string", "description": "The source's write key, where no header has it."},
    },
}
BATCH: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Batch",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "maxItems": 2_500, "items": MESSAGE},
        "sentAt": _TIME,
        "context": {"type": ["object", "null"]},
        "writeKey": {"type": "string"},
    },
}

_ANSWERED: Final[dict[str, Any]] = {
    "200": {
        "description": "Durable: acknowledged by all in-sync replicas of Kafka, or flushed to disk.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["success", "accepted", "rejected", "results"],
                    "properties": {"success": {"const": True}, **documents.COUNTS, "warnings": documents.WARNINGS},
                },
                "example": {"success": True, "accepted": 1, "rejected": 0, "results": []},
            }
        },
    }
}


def _operation(verb: str, *, short: bool) -> dict[str, Any]:
    schema, example = (BATCH, _BATCH) if verb == "batch" else (MESSAGE, _EXAMPLES[verb])
    content = {"schema": schema, "example": example}
    return documents.operation(
        f"Segment: {verb}{', as analytics.js addresses it' if short else ''}",
        f"segment_{verb[0] if short else verb}",
        tag="segment",
        body={"application/json": content, "text/plain": content},
        answers=_ANSWERED,
    )


_VERBS: Final = (*_EXAMPLES, "batch")
ROUTES: Final = tuple(
    Route("POST", f"/v1/{verb[0] if short else verb}", _operation(verb, short=short))
    for short in (False, True)
    for verb in _VERBS
)
VERB_OF: Final = {name: verb for verb in _VERBS for name in (verb, verb[0])}
