"""The OpenAPI document of the profile API, as the framework makes it and as it has to be."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tierwise.openapi import complete, operations
from tierwise_profile_api import entry_documents, ruling_documents, source_documents
from tierwise_profile_api.documents import ProblemDetails
from tierwise_profile_api.parameters import TOKEN_PARAMETER

_TIMES: Final = frozenset({"from", "to", "as_of", "seen_from", "seen_to"})
_TIME: Final = "2026-11-20T09:30:00Z"

_EXAMPLES: Final[dict[str, Any]] = {
    **dict.fromkeys(_TIMES, _TIME),
    "access_token": "tw_t_AbQ...",
    "aspect": "tier",
    "asked": "c_e2rp2eapcnax1",
    "author": "console",
    "channel": "order",
    "code": "bad_parameter",
    "computed": "C",
    "cursor": "eyJhZnRlciI6...",
    "customer_id": "c_e2rp2eapcnax1",
    "detail": "`limit` is between 1 and 200.",
    "error": None,
    "answer": None,
    "expires": None,
    "id": "1f0c9a3b7d21",
    "intent_from": 70,
    "intent_to": 100,
    "kind": "email",
    "last-event-id": "7391-7402-9913",
    "last_event_id": "7391-7402-9913",
    "merged_into": None,
    "next_cursor": None,
    "properties": {"amount": "1299.00", "currency": "CNY"},
    "q": "li@example.com",
    "reader": "1f0c9a3b7d21",
    "reason": "Signed a frame contract",
    "requested_id": None,
    "score": 67.5,
    "secret": "tw_w_...",
    "source": "shop",
    "status": 400,
    "state": "delivered",
    "tier_from": 60,
    "tier_to": 100,
    "text/csv": "customer_id,tier\r\nc_e2rp2eapcnax1,B\r\n",
    "title": "A parameter cannot be used",
    "type": "purchase",
    "value": "A",
}

_SECURITY: Final = {
    "readKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A read key (`tierwise key create`), a browser token or a JWT of the identity provider.",
    },
    "browserToken": {
        "type": "apiKey",
        "in": "query",
        "name": TOKEN_PARAMETER,
        "description": "A browser token (POST /v1/tokens), where headers cannot be sent.",
    },
}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, with our problems in the place of the framework's 422, which is never answered."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = document["components"]
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        components["schemas"] |= source_documents.COMPONENTS | entry_documents.COMPONENTS | ruling_documents.COMPONENTS
        components["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
        components["securitySchemes"] = _SECURITY
        for method, path, operation in operations(document):
            operation["responses"].pop("422", None)
            if method == "GET" and ("{customer_id}" in path or "{change_id}" in path):
                operation["security"] = [*operation["security"], {"browserToken": []}]
        complete(document, _EXAMPLES)
        for _, _, operation in operations(document):
            _tell_times(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _tell_times(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _TIMES and parameter["schema"]["type"] == "string":
            parameter["schema"]["format"] = "date-time"
