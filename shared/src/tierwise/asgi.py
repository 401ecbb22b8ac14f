"""The edge that every service has, as plain ASGI, so that no framework is needed to serve it:
responses, problems, health and metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry
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
    `timeout_s`, with each one's state), /startupz (the same until it was ready once) and /metrics (Prometheus); all
    else is a 404 problem."""
    started = False
    probed = {name: _Probed(check, timeout_s) for name, check in checks.items()}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal started
        match scope["path"]:
            case "/healthz":
                response = json_response(200, {"status": "ok"})
            case "/startupz" if started:
                response = json_response(200, {"status": "started"})
            case "/readyz" | "/startupz":
                response = await _readiness(probed)
                started |= response.status == 200
            case "/metrics":
                response = Response(200, generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
            case _:
                response = problem_response(NotFound("Try /healthz, /readyz, /startupz or /metrics."))
        if scope["method"] not in ("GET", "HEAD"):
            response = problem_response(MethodNotAllowed("Only GET is answered here.", headers={"Allow": "GET, HEAD"}))
        await response(scope, receive, send)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan_of_nothing(receive, send)

    return app


_PROBES_WAITED: Final = 5
"""So many times the patience of one probe a check may take."""

HEALTH_PATHS: Final = ("/healthz", "/readyz", "/startupz", "/metrics")


class _Probed:
    """A check, of which one attempt at a time is under way: a probe that finds one waits for that. What takes longer
    than a probe waits goes on, because under full load a new connection does, and would never be had if each probe
    began anew."""

    def __init__(self, check: Check, timeout_s: float) -> None:
        self._check, self._timeout_s = check, timeout_s
        self._attempt: asyncio.Task[str | None] | None = None

    async def reason(self) -> str | None:
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._attempted())
        done, _ = await asyncio.wait([attempt := self._attempt], timeout=self._timeout_s)
        return attempt.result() if done else f"No answer within {self._timeout_s:g} s."

    async def _attempted(self) -> str | None:
        """Given up in the end: a connection may hang that a new one would replace."""
        given_up_s = _PROBES_WAITED * self._timeout_s
        try:
            async with asyncio.timeout(given_up_s):
                return await self._check()
        except TimeoutError:
            return f"No answer within {given_up_s:g} s."


async def _readiness(checks: Mapping[str, _Probed]) -> Response:
    reasons = await asyncio.gather(*(check.reason() for check in checks.values()))
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


async def _lifespan_of_nothing(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header in ASGI's form; `name` in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None
