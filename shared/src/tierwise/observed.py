"""One wrapper around a service's application, that counts, times and logs its requests."""

import logging
import time
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from tierwise.asgi import (
    HEALTH_PATHS,
    SECONDS_BUCKETS,
    App,
    InternalError,
    Message,
    Receive,
    Scope,
    Send,
    problem_response,
)
from tierwise.headers import secure
from tierwise.problem import Problem
from tierwise.routes import Routes

log = structlog.get_logger("tierwise.http")
_stdlib = logging.getLogger("tierwise.http")  # asked first: a line that is not wanted takes structlog 3 us


class Observed:
    """Wraps a service: requests are counted and timed by route template; each leaves an access log line
    (health routes aside; what went well at level debug, since the metrics count it); what `direct` finds is
    answered there. A Problem that is raised below is answered as such, any other
    error as a 500 problem without its text, which is logged."""

    def __init__(self, app: App, registry: CollectorRegistry, *, service: str, direct: Routes | None = None) -> None:
        self._app = app
        self._direct = direct or Routes()
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
                secure(scope, message)
            await send(message)

        template, app = self._direct.find(scope) or (None, self._app)
        try:
            await app(scope, receive, sending)
        except Problem as problem:
            if status:
                raise
            await problem_response(problem)(scope, receive, sending)
        except Exception:
            log.exception("request_failed", route=_route(scope, template), method=scope["method"])
            if status:
                raise  # a part of a response is out: the server must cut the connection
            await problem_response(InternalError("Repeating is safe."))(scope, receive, sending)
        finally:
            self._note(_route(scope, template), scope["method"], status, time.perf_counter() - started)

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
        if status < 400 and not _stdlib.isEnabledFor(logging.DEBUG):
            return
        if route not in HEALTH_PATHS:
            note = log.warning if status >= 500 else log.info if status >= 400 else log.debug
            note("request", route=route, method=known, status=status, ms=round(seconds * 1000, 1))


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: Scope, template: str | None) -> str:
    """The route's template; never the path itself, which may hold personal data."""
    if template is not None:
        return template
    return str(getattr(scope.get("route"), "path", "unmatched"))
