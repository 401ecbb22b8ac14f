"""What OpenAPI says of the bodies; they are decoded and encoded elsewhere, by hand-picked means."""

from collections.abc import Sequence
from typing import Any, Final

_EXAMPLE: Final = {
    "id": "ord-1042",
    "time": "2026-11-20T09:30:00+08:00",
    "channel": "order",
    "type": "purchase",
    "identifiers": {"user_id": "u7", "email": "li@example.com"},
    "attributes": {"region": "CN-31", "industry": "education"},
    "properties": {"amount": "1299.00", "currency": "CNY", "category": "courses"},
}
_VISIT: Final = {"channel": "web", "type": "page_view", "identifiers": {"anonymous_id": "5f0c3a1e"}}
_MISSING: Final = {
    "index": 1,
    "status": "rejected",
    "code": "missing_identifier",
    "field": "identifiers",
    "detail": "At least one of user_id, crm_id, email, phone, anonymous_id",
}

_SCALAR: Final = {"type": ["string", "number", "boolean", "null"]}
INTERACTION: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Interaction",
    "required": ["channel", "type", "identifiers"],
    "additionalProperties": False,
    "properties": {
        "id": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 256,
            "description": "Unique in its source; absent: made from the content. A repeat changes nothing.",
        },
        "time": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it happened, RFC 3339 with zone; absent: now. At most 5 minutes ahead.",
        },
        "channel": {"type": "string", "examples": ["web", "email", "call", "order"]},
        "type": {"type": "string", "pattern": "^[a-z][a-z0-9_.-]{0,63}$"},
        "identifiers": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 256},
            "description": "user_id, crm_id, email, phone, anonymous_id, and kinds that the rulebook declares.",
        },
        "attributes": {
            "type": ["object", "null"],
            "maxProperties": 100,
            "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "maxItems": 100, "items": _SCALAR}]},
            "description": "What is known of the customer from now on; null unsets.",
        },
        "updates": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {
                "first": {"type": "object", "description": "Counts unless something was said before it."},
                "add": {
                    "type": "object",
                    "additionalProperties": {"type": "number", "minimum": -1e9, "maximum": 1e9},
                    "description": "To a number, since it was last set; at most 4 digits after the point.",
                },
                "append": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "maxItems": 100, "items": {"type": "string"}},
                    "description": "To a list, what is not in it; the newest 100 texts are kept.",
                },
                "clear": {"type": "boolean", "description": "Unset every attribute that sources have said up to now."},
            },
            "description": "What it changes of attributes beside setting them, in any order of arrival.",
        },
        "properties": {
            "type": ["object", "null"],
            "additionalProperties": True,
            "description": "Of this interaction. `amount`: at most 12 digits before and 4 after the point.",
        },
        "consent": {
            "type": ["boolean", "null"],
            "description": "false: the customer agreed to no scoring. It is kept on the timeline and not counted, or "
            "refused, as the source says.",
        },
    },
}

_REJECTION: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Rejection",
    "required": ["index", "status", "code", "field", "detail"],
    "properties": {
        "index": {
            "type": "integer",
            "minimum": 0,
            "description": "Of the item, from 0; of NDJSON without blank lines.",
        },
        "status": {"const": "rejected"},
        "code": {"type": "string"},
        "field": {"type": ["string", "null"]},
        "detail": {"type": "string"},
    },
}

COUNTS: Final = {
    "accepted": {"type": "integer", "minimum": 0},
    "rejected": {"type": "integer", "minimum": 0},
    "results": {"type": "array", "items": _REJECTION, "description": "The rejected ones only."},
}

WARNINGS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["code", "indexes", "detail"],
        "properties": {
            "code": {"enum": ["retry_not_recognised", "left_out"]},
            "indexes": {"type": "array", "items": {"type": "integer"}},
            "fields": {"type": "array", "items": {"type": "string"}},
            "detail": {"type": "string"},
        },
    },
}

_ACCEPTED: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Accepted",
    "required": ["accepted", "rejected", "results"],
    "properties": {
        **COUNTS,
        "warnings": WARNINGS,
    },
}

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
    "description": "RFC 9457.",
}


def problem(description: str, **members: Any) -> dict[str, Any]:
    schema = _PROBLEM
    if members:
        schema = {**_PROBLEM, "title": "NoneAccepted", "properties": _PROBLEM["properties"] | members}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _retried(response: dict[str, Any]) -> dict[str, Any]:
    seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    return response | {"headers": {"Retry-After": seconds}}


def operation(
    summary: str,
    operation_id: str,
    *,
    answers: dict[str, dict[str, Any]],
    body: dict[str, Any] | None = None,
    parameters: Sequence[dict[str, Any]] = (),
    secured: bool = True,
    tag: str = "interactions",
    description: str = "",
) -> dict[str, Any]:
    """An OpenAPI operation of a format's route. `body`: media type to media type object. `answers`: beside what every
    such route may answer. Not `secured`: its credentials are no header of ours but the format's."""
    document: dict[str, Any] = {"summary": summary, "operationId": operation_id, "tags": [tag]}
    if description:
        document["description"] = description
    if parameters:
        document["parameters"] = list(parameters)
    if secured:
        document["security"] = [{"writeKey": []}, {"writeKeyAsUser": []}]
    if body is not None:
        document["requestBody"] = {"required": True, "content": body}
    document["responses"] = _FAILURES | answers
    return document


def parameter(name: str, place: str, description: str, *, required: bool = True) -> dict[str, Any]:
    """A parameter that is text; `place` is `path`, `query` or `header`."""
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "description": description,
        "schema": {"type": "string"},
    }


SOURCE: Final = parameter("source", "path", "The source's name.")
KEY: Final = parameter("key", "query", "The source's write key, which is public in a page.")

ACCEPTED_ANSWER: Final[dict[str, Any]] = {
    "description": "Durable: acknowledged by all in-sync replicas of Kafka, or flushed to disk.",
    "content": {
        "application/json": {
            "schema": _ACCEPTED,
            "example": {"accepted": 1, "rejected": 1, "results": [_MISSING]},
        }
    },
}

WEBHOOK_ANSWER: Final[dict[str, Any]] = {
    "description": "Durable. What could not be mapped is kept, to be read again; sending it again would not help.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "title": "Received",
                "required": ["accepted", "ignored", "rejected", "kept", "results"],
                "properties": {
                    **COUNTS,
                    "ignored": {"type": "integer", "minimum": 0, "description": "Understood, and no interactions."},
                    "kept": {"type": "boolean", "description": "Whether the request is among the dead letters."},
                },
            },
            "example": {"accepted": 1, "ignored": 0, "rejected": 0, "kept": False, "results": []},
        }
    },
}

_FAILURES: Final[dict[str, dict[str, Any]]] = {
    "400": problem("None was accepted, or the body cannot be read.", **COUNTS),
    "401": problem("The credentials are missing, unknown or revoked."),
    "403": problem("The source sends in no such format, or from no such page."),
    "413": problem("Too many bytes, or too many items."),
    "415": problem("A media type that is not read here, or another encoding than gzip."),
    "429": _retried(problem("More than this source's rate.")),
    "503": _retried(problem("The stream is slow or away; nothing is said to be accepted, repeating is safe.")),
}

INTERACTIONS: Final = operation(
    "Send interactions",
    "send_interactions",
    description="One object, an array, or NDJSON; `Content-Encoding: gzip` or none.",
    body={
        "application/json": {
            "schema": {"anyOf": [INTERACTION, {"type": "array", "items": INTERACTION}]},
            "examples": {
                "one": {"summary": "An order", "value": _EXAMPLE},
                "several": {"summary": "An order and a visit", "value": [_EXAMPLE, _VISIT]},
            },
        },
        "application/x-ndjson": {"schema": {"type": "string", "description": "One interaction a line."}},
    },
    answers={"202": ACCEPTED_ANSWER},
)

SECURITY_SCHEMES: Final = {
    "writeKey": {"type": "http", "scheme": "bearer", "description": "A source's write key."},
    "writeKeyAsUser": {"type": "http", "scheme": "basic", "description": "The key as user name, no password."},
}

EXAMPLES: Final[dict[str, Any]] = {
    "Dry-Run": "true",
    "anonymousId": "5f0c3a1e",
    "anonymous_id": "5f0c3a1e",
    "application/x-ndjson": '{"channel": "web", "type": "page_view", "identifiers": {"anonymous_id": "5f0c3a1e"}}\n',
    "application/x-www-form-urlencoded": {"id": "call-1", "phone": "+8613800138000"},
    "channel": "email",
    "code": "missing_identifier",
    "crm_id": "003-17",
    "data": "eyJ0eXBlIjogInRyYWNrIiwgImV2ZW50IjogIlBheU9yZGVyIiwgImRpc3RpbmN0X2lkIjogInU3IiwgInByb3BlcnRpZXMiOiB7fX0=",
    "detail": "At least one of user_id, crm_id, email, phone, anonymous_id",
    "email": "li@example.com",
    "event": "Order Completed",
    "ext": "crc=-1205389017",
    "field": "identifiers",
    "id": "newsletter-7-u7",
    "image/gif": "GIF89a...",
    "key": "tw_w_...",
    "name": "Pricing",
    "phone": "+8613800138000",
    "project": "default",
    "source": "shop",
    "text/html": "<!doctype html><title>Thank you</title>",
    "text/javascript": "!function(){...}();",
    "text/plain": "OK",
    "text/xml": "<Response/>",
    "title": "The body cannot be read",
    "token": "tw_w_...",
    "type": "opened",
    "user_id": "u7",
    "writeKey": "tw_w_...",
}
"""Of parameters, properties and media types that have none of their own."""
