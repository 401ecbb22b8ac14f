"""Ingest as an application: interactions over HTTP onto the stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from tierwise.asgi import HttpError, problem_of_http_error, problem_response
from tierwise.observed import Observed
from tierwise.readiness import database_check, migrations_check, stream_check
from tierwise.routes import health_routes
from tierwise.settings import Settings
from tierwise_ingest import documents, snippet
from tierwise_ingest.backend import Backend
from tierwise_ingest.formats.table import FORMATS
from tierwise_ingest.metrics import IngestMetrics
from tierwise_ingest.receiving import asked_first, receiving

_DESCRIPTION: Final = """
What customers did, over HTTP, onto the stream. 202 means that the stream has it, durably; the same `id` again changes
nothing. Errors are `application/problem+json` (RFC 9457).
"""


def create_app(settings: Settings) -> FastAPI:
    """Serves at once; what it needs is opened when it starts and, where that is away, from then on."""
    registry = CollectorRegistry()
    metrics = IngestMetrics(registry)
    backend = Backend(settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with backend.running():
            yield

    app = FastAPI(
        title="Tierwise ingest", version="1", description=_DESCRIPTION, lifespan=lifespan, redirect_slashes=False
    )
    checks = {
        "database": database_check(backend.engine),
        "migrations": migrations_check(backend.engine),
        "stream": stream_check(backend.stream),
    }
    direct = health_routes(checks, registry)
    direct.add(snippet.PATH, {"GET": snippet.snippet_route()})
    asked = asked_first(backend)
    for format_ in FORMATS:
        route = receiving(format_, settings, backend)
        for method, path, _ in format_.routes:
            direct.add(path, {method: route, "OPTIONS": asked})
    app.add_exception_handler(HTTPException, _framework_error)
    # Around the framework's own layers, which cost a request beside it 10 us.
    app.middleware_stack = Observed(app.build_middleware_stack(), registry, service="ingest", direct=direct)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


async def _framework_error(_: Request, error: Exception) -> Response:
    answer = problem_response(problem_of_http_error(cast(HttpError, error)))
    response = Response(answer.body, answer.status)
    response.raw_headers = answer.headers
    return response


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1: the framework's document and the routes that are answered beside it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        document["paths"][snippet.PATH] = {"get": snippet.DOCUMENT}
        for method, path, operation in (route for format_ in FORMATS for route in format_.routes):
            document["paths"].setdefault(path, {})[method.lower()] = operation
        document.setdefault("components", {})["securitySchemes"] = documents.SECURITY_SCHEMES
        app.openapi_schema = document
    return app.openapi_schema
