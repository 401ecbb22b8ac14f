"""The profile API as an application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Match, Route

from tierwise import tracing
from tierwise.asgi import Check, MethodNotAllowed, problem_of_http_error
from tierwise.metrics import PoolCollector, service_registry
from tierwise.observed import Observed
from tierwise.opening import Opening
from tierwise.problem import Unavailable
from tierwise.readiness import database_check, migrations_check
from tierwise.routes import health_routes
from tierwise.settings import Settings
from tierwise_profile_api.backend import Backend, open_backend
from tierwise_profile_api.hot import HotReads
from tierwise_profile_api.live.feed import Feed
from tierwise_profile_api.live.metrics import LiveMetrics
from tierwise_profile_api.live.response import Live
from tierwise_profile_api.openapi import openapi_document
from tierwise_profile_api.parameters import of_validation
from tierwise_profile_api.routes import (
    activity,
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
    rulings,
    schemas,
    segments,
    sources,
    statistics,
    subscriptions,
    timeline,
    tokens,
    why,
)

_ROUTES: Final = (
    find, customers, lookup, timeline, changes, history, why, export, statistics, activity, segments,
    live, schemas, tokens, audit, sources, subscriptions, overrides, entries, rulings,
)  # fmt: skip

_DESCRIPTION: Final = """
The live classification of every customer: tags, intent level, lifecycle stage and A-E tier.
Errors are `application/problem+json` (RFC 9457). Times are RFC 3339 in UTC, money is a decimal string, ids are opaque.
"""

_COMPRESSED_FROM_BYTES: Final = 8_000
_COMPRESSION: Final = 4
"""Of 9: views are 5 times smaller by it, and more costs twice the time for a tenth of the bytes."""

_CORS: Final[dict[str, Any]] = {
    "allow_methods": ("GET", "POST", "PUT", "PATCH", "DELETE"),
    "allow_headers": ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID"),
    "expose_headers": ("ETag", "Retry-After"),
    "max_age": 600,
}


def create_app(settings: Settings) -> FastAPI:
    """Serves at once; what it reads is opened when it starts and, where the database is away, from then on."""
    opening = Opening(lambda: open_backend(settings))
    registry = service_registry("profile-api")
    registry.register(PoolCollector(lambda: opening.value.engine))
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
    if (spans := tracing.spans()) is not None:
        app.add_middleware(spans.requests, name="profile-api.request")
    if settings.profile_api_origins:  # outermost, so that pages can read why something was refused
        app.add_middleware(CORSMiddleware, allow_origins=settings.profile_api_origins, **_CORS)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
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


async def _framework_error(request: Request, error: Exception) -> NoReturn:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == MethodNotAllowed.status and (methods := _allowed(request)):
        raise MethodNotAllowed(f"It takes {methods}.", headers={"Allow": methods}) from error
    raise problem_of_http_error(error) from error


def _allowed(request: Request) -> str:
    """What the path takes (RFC 9110, 10.2.1): the framework names the first route's methods only, even where one after
    it is of a path that fits better, /lookup than /{customer_id}. Empty for the framework's own paths."""
    routes = [route for module in _ROUTES for route in module.router.routes if isinstance(route, Route)]
    fitting = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    best = min((route.path for route in fitting), key=lambda path: path.count("{"), default="")
    return ", ".join(sorted({method for route in fitting if route.path == best for method in route.methods or ()}))
