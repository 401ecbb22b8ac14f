"""Ingest as an application: interactions over HTTP onto the stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from tierwise import tracing
from tierwise.asgi import App, HttpError, Receive, Scope, Send, problem_of_http_error, problem_response
from tierwise.metrics import PoolCollector, service_registry
from tierwise.observed import Observed
from tierwise.openapi import complete
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
    registry = service_registry("ingest")
    metrics = IngestMetrics(registry)
    backend = Backend(settings, metrics)
    registry.register(PoolCollector(backend.engine))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with backend.running():
            yield

    app = _Around(
        title="Tierwise ingest", version="1", description=_DESCRIPTION, lifespan=lifespan, redirect_slashes=False
    )
    checks = {
        "database": database_check(backend.engine),
        "migrations": migrations_check(backend.engine),
        "stream": stream_check(backend.stream),
    }
    direct = health_routes(checks, registry)
    direct.add(snippet.PATH, {"GET": snippet.snippet_route()})
    spans = tracing.spans()
    methods: dict[str, set[str]] = {}
    for format_ in FORMATS:
        route = receiving(format_, settings, backend)
        for method, path, _ in format_.routes:
            traced = route if spans is None else spans.requests(route, name="ingest.request", template=path)
            direct.add(path, {method: traced})
            methods.setdefault(path, set()).add(method)
    for path, taken in methods.items():
        direct.add(path, {"OPTIONS": asked_first(backend, taken)})
    app.add_exception_handler(HTTPException, _framework_error)
    app.around = Observed(super(_Around, app).__call__, registry, service="ingest", direct=direct)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


class _Around(FastAPI):
    """Answers through `around`, before the framework's own layers, which cost a request beside them 10 us."""

    around: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.around(scope, receive, send)


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
        complete(document, documents.EXAMPLES)
        app.openapi_schema = document
    return app.openapi_schema
