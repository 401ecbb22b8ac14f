"""What OpenAPI says of subscriptions; they are read and checked by `tierwise.webhooks.document`."""

from typing import Any, Final

from tierwise.domain.change import ASPECTS
from tierwise.openapi import merge_patch
from tierwise.webhooks.document import (
    BULK_CAUSES,
    CAUSES,
    DESCRIPTION_CHARACTERS_MAX,
    ONE_ASPECT,
    URL_CHARACTERS_MAX,
    VALUES_MAX,
)
from tierwise.webhooks.registry import GRACE, GRACE_MAX
from tierwise.webhooks.template import HEADERS_MAX, METHODS
from tierwise_profile_api.authenticate import ADMIN, documented
from tierwise_profile_api.documents import problems

GRACE_S: Final = int(GRACE.total_seconds())
GRACE_S_MAX: Final = int(GRACE_MAX.total_seconds())

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time"}
_TIME_OR_NONE: Final = {"type": ["string", "null"], "format": "date-time"}


def _values(description: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "array", "items": values or _TEXT, "maxItems": VALUES_MAX, "description": description}


_FILTERS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "description": "Which changes are sent; an empty list: any.",
    "properties": {
        "aspects": _values(f"Any of {', '.join(ASPECTS)}; `tag` and `segment` are all of them, or {ONE_ASPECT}."),
        "from": _values("From any of these values."),
        "to": _values("To any of these values."),
        "causes": _values(
            f"By any of these causes. Empty: all but {', '.join(BULK_CAUSES)}, which change many customers at once.",
            {"enum": list(CAUSES)},
        ),
        "segments": _values(
            "Of customers who are in one of these segments before the change or after it, so also who comes into one "
            "or leaves it by the change.",
            {"type": "string", "examples": ["top-buyers"]},
        ),
    },
}
_REQUEST: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["body"],
    "additionalProperties": False,
    "description": "Requests in that system's own form, with placeholders as {{ change.to }} or "
    "{{ customer.tier.grade }} in the texts of the body and, after the host, in the url. Absent: Standard Webhooks.",
    "properties": {
        "method": {"enum": list(METHODS), "default": "POST"},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1},
            "maxProperties": HEADERS_MAX,
            "description": "Kept sealed, and shown as ***.",
        },
        "body": {"description": "JSON."},
    },
    "examples": [
        {
            "method": "PUT",
            "headers": {"authorization": "***"},
            "body": {"tier": "{{ change.to }}", "score": "{{ customer.tier.score }}"},
        }
    ],
}
_GIVEN: Final[dict[str, Any]] = {
    "url": {"type": "string", "maxLength": URL_CHARACTERS_MAX, "examples": ["https://crm.example/tierwise"]},
    "description": {"type": "string", "maxLength": DESCRIPTION_CHARACTERS_MAX, "default": ""},
    "enabled": {"type": "boolean", "default": True},
    "filters": _FILTERS,
    "request": {"anyOf": [_REQUEST, {"type": "null"}], "default": None},
}
_SUBSCRIPTION: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Subscription",
    "required": [*_GIVEN, "id", "disabled", "paused_until", "pending", "created_at", "secrets"],
    "properties": {
        "id": {"type": "string", "examples": ["sub_5f0c9a1e77d2b340"]},
        **_GIVEN,
        "disabled": {
            "type": ["object", "null"],
            "description": "Where it was disabled here: `gone` (the endpoint answered 410) or `exhausted` (it took "
            "nothing to the last attempt). Nothing is lost: enabled again, it goes on where it stopped.",
            "properties": {"reason": {"enum": ["gone", "exhausted"]}, "at": _TIME},
        },
        "paused_until": {**_TIME_OR_NONE, "description": "The endpoint asked for it, by Retry-After."},
        "pending": {"type": "integer", "description": "Deliveries in the queue, those to be repeated too."},
        "created_at": _TIME,
        "secrets": {
            "type": "array",
            "description": "Those that sign now, never themselves; the newest first.",
            "items": {
                "type": "object",
                "required": ["id", "public_key", "created_at", "ends_at"],
                "properties": {
                    "id": _TEXT,
                    "public_key": {"type": "string", "description": "For v1a.", "examples": ["whpk_..."]},
                    "created_at": _TIME,
                    "ends_at": _TIME_OR_NONE,
                },
            },
        },
    },
}
_SECRET: Final[dict[str, Any]] = {
    "type": "string",
    "description": "For v1; shown this once.",
    "examples": ["whsec_..."],
}
_DELIVERY: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Delivery",
    "required": ["id", "event_id", "kind", "state", "attempts", "due", "created_at", "finished_at"],
    "properties": {
        "id": _TEXT,
        "event_id": {"type": "string", "description": "`webhook-id`.", "examples": ["c_e2rp2eapcnax1:19"]},
        "kind": {"enum": ["change", "replay", "test"]},
        "state": {"enum": ["pending", "delivered", "failed"]},
        "attempts": {
            "type": "array",
            "description": "The oldest first.",
            "items": {
                "type": "object",
                "required": ["at", "ms", "status", "error", "answer"],
                "properties": {
                    "at": _TIME,
                    "ms": {"type": "integer"},
                    "status": {"type": ["integer", "null"]},
                    "error": {"type": ["string", "null"]},
                    "answer": {"type": ["string", "null"], "description": "The first 1,000 bytes."},
                },
            },
        },
        "due": {**_TIME_OR_NONE, "description": "When it is tried next, at the earliest."},
        "created_at": _TIME,
        "finished_at": _TIME_OR_NONE,
    },
}

_A_AND_B: Final = {"url": "https://crm.example/tierwise", "filters": {"aspects": ["tier"], "to": ["A", "B"]}}
_CRM: Final = {
    "url": "https://crm.example/v1/contacts/{{ customer.identifiers.crm_id }}",
    "filters": {"aspects": ["tier", "intent"]},
    "request": {
        "method": "PATCH",
        "headers": {"Authorization": "Bearer 5f0c9a1e"},
        "body": {"Tier": "{{ customer.tier.grade }}", "Intent": "{{ customer.intent.level }}"},
    },
}
_RANGE: Final = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _operation(schema: dict[str, Any] | None = None, **examples: Any) -> dict[str, Any]:
    """`schema`: of the body."""
    if schema is None:
        return documented(ADMIN)
    content = {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
    return documented(ADMIN) | {"requestBody": {"required": True, "content": {"application/json": content}}}


def _answers(*others: int, status: int = 200, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return problems(*others) | {status: {"description": "Done.", "content": {"application/json": {"schema": schema}}}}


def _described(required: list[str]) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": _GIVEN}


LIST: Final[dict[str, Any]] = {
    "responses": _answers(
        schema=_object(items={"type": "array", "items": _SUBSCRIPTION}, next_cursor={"type": "null"})
    ),
    "openapi_extra": _operation(),
}
SHOW: Final[dict[str, Any]] = {"responses": _answers(404, schema=_SUBSCRIPTION), "openapi_extra": _operation()}
CREATE: Final[dict[str, Any]] = {
    "responses": _answers(409, 413, status=201, schema=_object(subscription=_SUBSCRIPTION, secret=_SECRET)),
    "openapi_extra": _operation(_described(["url"]), tiers=_A_AND_B, crm=_CRM),
}
UPDATE: Final[dict[str, Any]] = {
    "responses": _answers(404, 413, schema=_SUBSCRIPTION),
    "openapi_extra": _operation(merge_patch(_described([]), {}), on={"enabled": True}),
}
DELETE: Final[dict[str, Any]] = {
    "responses": problems(404) | {204: {"description": "Deleted, with its log."}},
    "openapi_extra": _operation(),
}
ROTATE: Final[dict[str, Any]] = {
    "responses": _answers(404, 413, schema=_object(secret=_SECRET)),
    "openapi_extra": _operation(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"grace_s": {"type": "integer", "minimum": 0, "maximum": GRACE_S_MAX, "default": GRACE_S}},
        },
        hour={"grace_s": 3600},
    ),
}
TEST: Final[dict[str, Any]] = {"responses": _answers(404, status=202, schema=_DELIVERY), "openapi_extra": _operation()}
DELIVERIES: Final[dict[str, Any]] = {
    "responses": _answers(
        404, schema=_object(items={"type": "array", "items": _DELIVERY}, next_cursor={"type": ["string", "null"]})
    ),
    "openapi_extra": _operation(),
}
REPLAY: Final[dict[str, Any]] = {
    "responses": _answers(404, 413, status=202, schema=_object(changes={"type": "integer"})),
    "openapi_extra": _operation({"additionalProperties": False, **_object(**{"from": _TIME, "to": _TIME})}, day=_RANGE),
}
