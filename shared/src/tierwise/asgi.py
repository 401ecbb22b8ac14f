"""The edge that every service has, as plain ASGI, so that no framework is needed to serve it:
problem responses, health and metrics routes, and one wrapper that counts, times and logs requests."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tierwise.problem import NotFound, Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Check = Callable[[], Awaitable[str | None]]
"""A readiness check: None when all is well, else what is wrong and what to do, without secrets."""

SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

log = structlog.get_logger("tierwise.http")


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This path does not take this method"


class InternalError(Problem):
    status, code, title = 500, "internal_error", "Something failed here; it is logged"


class Response:
    """A whole response; as an ASGI application it answers any request with itself."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, *, media_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
        for name, value in (headers or {}).items():
            self.headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def json_response(status: int, content: object, *, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, msgspec.json.encode(content), media_type="application/json", headers=headers)


def problem_response(problem: Problem) -> Response:
    """`application/problem+json` (RFC 9457), with the problem's own headers."""
    return Response(
        problem.status,
        msgspec.json.encode(problem.members()),
        media_type="application/problem+json",
        headers=problem.headers,
    )


class HttpError(Protocol):
    """What frameworks raise for 404, 405 and the like; starlette.exceptions.HTTPException is one."""

    status_code: int
    detail: Any
    headers: Any


def problem_of_http_error(error: HttpError) -> Problem:
    """A framework's own error as a Problem: code and title from the status, its headers (Allow) kept."""
    known = HTTPStatus(error.status_code)

    class Other(Problem):
        status: ClassVar[int] = known.value
        code: ClassVar[str] = known.name.lower()
        title: ClassVar[str] = known.phrase

    kind = {NotFound.status: NotFound, MethodNotAllowed.status: MethodNotAllowed}.get(error.status_code, Other)
    return kind(str(error.detail or known.phrase), headers=dict(error.headers or {}))


def health_app(checks: Mapping[str, Check], registry: CollectorRegistry, *, timeout_s: float = 2.0) -> App:
    """Answers GET /healthz (the process serves), /readyz (503 unless every check passes within
    `timeout_s`, with each one's state) and /metrics (Prometheus); all else is a 404 problem."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/healthz":
                response = json_response(200, {"status": "ok"})
            case "/readyz":
                response = await _readiness(checks, timeout_s)
            case "/metrics":
                response = Response(200, generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
            case _:
                response = problem_response(NotFound("Try /healthz, /readyz or /metrics."))
        if scope["method"] not in ("GET", "HEAD"):
            response = problem_response(MethodNotAllowed("Only GET is answered here.", headers={"Allow": "GET, HEAD"}))
        await response(scope, receive, send)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan_of_nothing(receive, send)

    return app


HEALTH_PATHS: Final = ("/healthz", "/readyz", "/metrics")


async def _readiness(checks: Mapping[str, Check], timeout_s: float) -> Response:
    reasons = await asyncio.gather(*(_reason(check, timeout_s) for check in checks.values()))
    states = {
        name: {"ready": True} if reason is None else {"ready": False, "detail": reason}
        for name, reason in zip(checks, reasons, strict=True)
    }
    ready = not any(reasons)
    return json_response(
        200 if ready else 503,
        {"status": "ready" if ready else "not ready", "checks": states},
        headers={"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "1"}),
    )


async def _reason(check: Check, timeout_s: float) -> str | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await check()
    except TimeoutError:
        return f"No answer within {timeout_s:g} s."


async def _lifespan_of_nothing(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


class Observed:
    """Wraps a service: requests are counted and timed by route template; each leaves an access log line
    (health routes aside; what went well at level debug, since the metrics count it); paths in `direct` are
    answered by their own application. A Problem that is raised below is answered as such, any other
    error as a 500 problem without its text, which is logged."""

    def __init__(
        self, app: App, registry: CollectorRegistry, *, service: str, direct: Mapping[str, App] | None = None
    ) -> None:
        self._app = app
        self._direct = direct or {}
        self._requests = Counter(
            f"tierwise_{service}_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            f"tierwise_{service}_http_request_seconds",
            "From the request's head to the end of its response.",
            ("route",),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        direct = self._direct.get(scope["path"])
        try:
            await (direct or self._app)(scope, receive, sending)
        except Problem as problem:
            if status:
                raise
            await problem_response(problem)(scope, receive, sending)
        except Exception:
            log.exception("request_failed", route=_route(scope, direct), method=scope["method"])
            if status:
                raise  # a part of a response is out: the server must cut the connection
            await problem_response(InternalError("Repeating is safe."))(scope, receive, sending)
        finally:
            self._note(_route(scope, direct), scope["method"], status, time.perf_counter() - started)

    def _note(self, route: str, method: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"
        key = (route, known, status)
        children = self._children.get(key)
        if children is None:  # of templates, methods and statuses there are few
            answered = str(status or 499)  # 499: the client left
            children = self._requests.labels(route, known, answered), self._seconds.labels(route)
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)
        if route not in HEALTH_PATHS:
            note = log.warning if status >= 500 else log.info if status >= 400 else log.debug
            note("request", route=route, method=known, status=status, ms=round(seconds * 1000, 1))


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: Scope, direct: App | None) -> str:
    """The route's template; never the path itself, which may hold personal data."""
    path = scope["path"]
    if direct is not None or path in HEALTH_PATHS:
        return str(path)
    return str(getattr(scope.get("route"), "path", "unmatched"))


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header in ASGI's form; `name` in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None
