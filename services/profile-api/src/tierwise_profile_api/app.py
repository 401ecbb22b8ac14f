"""The profile API as an application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from tierwise.asgi import Check, problem_of_http_error
from tierwise.observed import Observed
from tierwise.opening import Opening
from tierwise.problem import Unavailable
from tierwise.readiness import database_check, migrations_check
from tierwise.routes import health_routes
from tierwise.settings import Settings
from tierwise_profile_api import entry_documents, source_documents
from tierwise_profile_api.backend import Backend, open_backend
from tierwise_profile_api.documents import ProblemDetails
from tierwise_profile_api.hot import HotReads
from tierwise_profile_api.live.feed import Feed
from tierwise_profile_api.live.metrics import LiveMetrics
from tierwise_profile_api.live.response import Live
from tierwise_profile_api.parameters import TOKEN_PARAMETER, of_validation
from tierwise_profile_api.routes import (
    audit,
    changes,
    customers,
    entries,
    export,
    find,
    history,
    live,
    lookup,
    overrides,
    schemas,
    sources,
    statistics,
    subscriptions,
    timeline,
    tokens,
    why,
)

_ROUTES: Final = (
    find, customers, lookup, timeline, changes, history, why, export, statistics,
    live, schemas, tokens, audit, sources, subscriptions, overrides, entries,
)  # fmt: skip

_DESCRIPTION: Final = """
The live classification of every customer: tags, intent level, lifecycle stage and A-E tier.
Errors are `application/problem+json` (RFC 9457). Times are RFC 3339 in UTC, money is a decimal string, ids are opaque.
"""

_COMPRESSED_FROM_BYTES: Final = 8_000
_COMPRESSION: Final = 4
"""Of 9: views are 5 times smaller by it, and more costs twice the time for a tenth of the bytes."""

_CORS: Final[dict[str, Any]] = {
    "allow_methods": ("GET", "POST", "DELETE"),
    "allow_headers": ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID"),
    "expose_headers": ("ETag", "Retry-After"),
    "max_age": 600,
}


def create_app(settings: Settings) -> FastAPI:
    """Serves at once; what it reads is opened when it starts and, where the database is away, from then on."""
    opening = Opening(lambda: open_backend(settings))
    registry = CollectorRegistry()
    listening = Live(Feed(lambda: opening.value), LiveMetrics(registry))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with opening, listening.feed:
            yield

    app = FastAPI(
        title="Tierwise profile API",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.opening = opening
    app.state.live = listening
    for module in _ROUTES:
        app.include_router(module.router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework_error)
    direct = health_routes(_checks(opening), registry)
    app.add_middleware(GZipMiddleware, minimum_size=_COMPRESSED_FROM_BYTES, compresslevel=_COMPRESSION)
    app.add_middleware(HotReads, api=app)
    app.add_middleware(Observed, registry, service="profile_api", direct=direct)
    if settings.profile_api_origins:  # outermost, so that pages can read why something was refused
        app.add_middleware(CORSMiddleware, allow_origins=settings.profile_api_origins, **_CORS)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _checks(opening: Opening[Backend]) -> dict[str, Check]:
    def engine() -> AsyncEngine:
        if opening.reason is not None:
            raise Unavailable(opening.reason)
        return opening.value.engine

    return {"database": database_check(engine), "migrations": migrations_check(engine)}


async def _invalid(_: Request, error: Exception) -> NoReturn:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    raise of_validation(error) from error


async def _framework_error(_: Request, error: Exception) -> NoReturn:
    assert isinstance(error, HTTPException)  # noqa: S101
    raise problem_of_http_error(error) from error


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, with our problems in the place of the framework's 422, which is never answered."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for address, path in document["paths"].items():
            for method, operation in path.items():
                operation["responses"].pop("422", None)
                if method == "get" and ("{customer_id}" in address or "{change_id}" in address):
                    operation["security"] = [*operation["security"], {"browserToken": []}]
        components = document["components"]
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        components["schemas"] |= source_documents.COMPONENTS | entry_documents.COMPONENTS
        components["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
        components["securitySchemes"] = {
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
        app.openapi_schema = document
    return app.openapi_schema
