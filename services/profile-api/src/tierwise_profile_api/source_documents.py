"""What OpenAPI says of sources; they are read and checked by `tierwise.security.source_document`."""

from typing import Any, Final

import msgspec

from tierwise.domain.source import Intake, Trust
from tierwise.openapi import merge_patch
from tierwise.security.source_registry import GRACE, GRACE_MAX
from tierwise_profile_api.authenticate import ADMIN, documented
from tierwise_profile_api.documents import problems

_, COMPONENTS = msgspec.json.schema_components([Trust, Intake], ref_template="#/components/schemas/{name}")
"""JSON Schema of what domain/source.py declares, by name; for the document's `components.schemas`."""

GRACE_S: Final = int(GRACE.total_seconds())
GRACE_S_MAX: Final = int(GRACE_MAX.total_seconds())

_TRUST: Final = {"$ref": "#/components/schemas/Trust"}
_INTAKE: Final = {"$ref": "#/components/schemas/Intake"}
_GIVEN: Final = {
    "trust": {
        "anyOf": [{"enum": ["backend", "browser"]}, _TRUST],
        "default": "backend",
        "description": "`backend`: a system of your own. `browser`: its key stands in a web page.",
    },
    "intake": _INTAKE,
}
_CREDENTIALS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id", "created_at", "ends_at"],
        "properties": {
            "id": {"type": "string"},
            "created_at": {"type": "string", "format": "date-time"},
            "ends_at": {"type": ["string", "null"], "format": "date-time", "description": "Refused from then on."},
        },
    },
}
_SOURCE: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Source",
    "required": ["name", "trust", "intake", "created_at", "retired_at", "keys", "secrets"],
    "properties": {
        "name": {"type": "string", "examples": ["shop-page"]},
        "trust": _TRUST,
        "intake": _INTAKE,
        "created_at": {"type": "string", "format": "date-time"},
        "retired_at": {"type": ["string", "null"], "format": "date-time"},
        "keys": _CREDENTIALS | {"description": "Write keys that are good, never themselves."},
        "secrets": _CREDENTIALS | {"description": "Secrets of webhooks that are good, never themselves."},
    },
}
_KEY: Final[dict[str, Any]] = {
    "type": "object",
    "title": "WriteKey",
    "required": ["id", "name", "secret"],
    "properties": {name: {"type": "string"} for name in ("id", "name", "secret")},
    "description": "`secret` is shown this once.",
}

_PAGE: Final = {
    "name": "shop-page",
    "trust": "browser",
    "intake": {"origins": ["https://shop.example"], "rate_limit": {"per_second": 100, "burst": 1000}},
}
_SENDGRID: Final = {"name": "sendgrid", "intake": {"formats": ["sendgrid"]}}
_FASTER: Final = {"intake": {"rate_limit": {"per_second": 500}, "redirects": None}}


def _json(schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": content}


def _operation(body: dict[str, Any] | None = None) -> dict[str, Any]:
    return documented(ADMIN) | ({"requestBody": {"required": True, "content": body}} if body else {})


def _answers(*others: int, status: int = 200, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return problems(*others) | {status: {"description": "Done.", "content": _json(schema)}}


LIST: Final[dict[str, Any]] = {
    "responses": _answers(
        schema={
            "type": "object",
            "required": ["items", "next_cursor"],
            "properties": {"items": {"type": "array", "items": _SOURCE}, "next_cursor": {"type": "null"}},
        }
    ),
    "openapi_extra": _operation(),
}
SHOW: Final[dict[str, Any]] = {"responses": _answers(404, schema=_SOURCE), "openapi_extra": _operation()}
CREATE: Final[dict[str, Any]] = {
    "responses": _answers(
        409,
        413,
        status=201,
        schema={"type": "object", "required": ["source", "key"], "properties": {"source": _SOURCE, "key": _KEY}},
    ),
    "openapi_extra": _operation(
        _json(
            {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 100}, **_GIVEN},
            },
            page=_PAGE,
            webhook=_SENDGRID,
        )
    ),
}
UPDATE: Final[dict[str, Any]] = {
    "responses": _answers(404, 409, 413, schema=_SOURCE),
    "openapi_extra": _operation(
        _json(
            merge_patch({"type": "object", "additionalProperties": False, "properties": _GIVEN}, COMPONENTS),
            faster=_FASTER,
        )
    ),
}
ROTATE: Final[dict[str, Any]] = {
    "responses": _answers(
        404,
        409,
        413,
        schema={
            "type": "object",
            "required": ["key", "secret"],
            "properties": {
                "key": {"anyOf": [_KEY, {"type": "null"}]},
                "secret": {"type": ["string", "null"], "description": "Where it was made here; shown this once."},
            },
        },
    ),
    "openapi_extra": _operation(
        _json(
            {
                "type": "object",
                "required": ["what"],
                "additionalProperties": False,
                "properties": {
                    "what": {"enum": ["key", "secret"]},
                    "secret": {"type": ["string", "null"], "description": "The provider's; absent: one is made."},
                    "grace_s": {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": GRACE_S_MAX,
                        "default": int(GRACE.total_seconds()),
                    },
                },
            },
            key={"what": "key", "grace_s": 3600},
            secret={"what": "secret", "secret": "what the provider signs with"},
        )
    ),
}
