import asyncio
import logging

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tierwise.asgi import (
    App,
    Message,
    Receive,
    Response,
    Scope,
    Send,
    health_app,
    problem_of_http_error,
)
from tierwise.observed import Observed
from tierwise.problem import NotFound, Unavailable
from tierwise.routes import Routes, health_routes


async def call(app: App, method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path)


async def service(scope: Scope, receive: Receive, send: Send) -> None:
    match scope["path"]:
        case "/secret":
            raise RuntimeError("the password is swordfish")
        case "/away":
            raise Unavailable("The database is away.", retry_after_s=7)
        case "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("the other half is missing")
        case "/customers/li@example.com":
            scope["route"] = type("Route", (), {"path": "/customers/{id}"})
            raise NotFound("There is no such customer.")
    await Response(200, b"fine", media_type="text/plain")(scope, receive, send)


def observed(registry: CollectorRegistry) -> App:
    async def well() -> None:
        return None

    return Observed(service, registry, service="test", direct=health_routes({"database": well}, registry))


async def test_an_unexpected_error_is_a_500_that_tells_nothing() -> None:
    response = await call(observed(CollectorRegistry()), "GET", "/secret")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "internal_error"
    assert "swordfish" not in response.text


async def test_a_problem_is_answered_with_its_headers() -> None:
    response = await call(observed(CollectorRegistry()), "GET", "/away")
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["detail"] == "The database is away."


async def test_an_error_in_the_middle_of_a_response_cuts_it_off() -> None:
    messages = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: object) -> None:
        messages.append(message)

    with pytest.raises(RuntimeError):
        await observed(CollectorRegistry())(
            {"type": "http", "method": "GET", "path": "/half", "headers": []}, receive, send
        )
    assert len(messages) == 1


async def test_metrics_and_logs_have_templates_and_no_paths(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    app = observed(CollectorRegistry())
    with caplog.at_level(logging.DEBUG):
        await call(app, "GET", "/customers/li@example.com")
        await call(app, "BREW", "/li@example.com")
    metrics = (await call(app, "GET", "/metrics")).text
    assert 'http_requests_total{method="GET",route="/customers/{id}",status="404"} 1.0' in metrics
    assert 'http_requests_total{method="other",route="unmatched",status="200"} 1.0' in metrics
    logged = [record.getMessage() for record in caplog.records if record.name != "httpx"]  # that is the client
    assert "li@example.com" not in "".join([metrics, capsys.readouterr().out, *logged])


async def test_readiness_names_what_is_missing_and_waits_for_nobody() -> None:
    async def well() -> None:
        return None

    async def behind() -> str:
        return "Run `tierwise migrate`."

    async def hanging() -> None:
        await asyncio.sleep(60)

    app = health_app({"a": well, "b": behind, "c": hanging}, CollectorRegistry(), timeout_s=0.05)
    response = await call(app, "GET", "/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "checks": {
            "a": {"ready": True},
            "b": {"ready": False, "detail": "Run `tierwise migrate`."},
            "c": {"ready": False, "detail": "No answer within 0.05 s."},
        },
    }
    assert (await call(app, "GET", "/healthz")).status_code == 200
    assert (await call(health_app({"a": well}, CollectorRegistry()), "GET", "/readyz")).status_code == 200


async def test_a_check_that_takes_longer_than_a_probe_waits_is_gone_on_with() -> None:
    begun = 0
    connected = False

    async def busy() -> None:
        nonlocal begun, connected
        begun += 1
        if not connected:
            await asyncio.sleep(0.12)
            connected = True

    app = health_app({"database": busy}, CollectorRegistry(), timeout_s=0.05)
    assert [(await call(app, "GET", "/readyz")).status_code for _ in range(3)] == [503, 503, 200]
    assert begun == 1


async def test_a_check_that_hangs_is_begun_again() -> None:
    begun = 0

    async def hanging_once() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(60 if begun == 1 else 0)

    app = health_app({"database": hanging_once}, CollectorRegistry(), timeout_s=0.02)
    statuses = []
    while 200 not in statuses:
        statuses.append((await call(app, "GET", "/readyz")).status_code)
    assert 503 in statuses
    assert begun == 2


async def test_what_was_ready_once_has_started_for_good() -> None:
    reason: str | None = "The database is away."

    async def check() -> str | None:
        return reason

    app = health_app({"database": check}, CollectorRegistry())
    assert (await call(app, "GET", "/startupz")).status_code == 503
    reason = None
    assert (await call(app, "GET", "/startupz")).status_code == 200
    reason = "The database is away."
    assert (await call(app, "GET", "/startupz")).status_code == 200
    assert (await call(app, "GET", "/readyz")).status_code == 503


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/healthz", 405), ("GET", "/other", 404)])
async def test_health_answers_nothing_else(method: str, path: str, status: int) -> None:
    response = await call(health_app({}, CollectorRegistry()), method, path)
    assert (response.status_code, response.json()["status"]) == (status, status)


def test_a_frameworks_errors_become_problems_with_their_headers() -> None:
    class RefusedError(Exception):
        status_code, detail, headers = 405, "Method Not Allowed", {"Allow": "POST"}

    problem = problem_of_http_error(RefusedError())
    assert (problem.status, problem.code, problem.headers) == (405, "method_not_allowed", {"Allow": "POST"})
    RefusedError.status_code = 418
    assert problem_of_http_error(RefusedError()).members()["code"] == "im_a_teapot"


async def named(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(200, repr(scope["path_params"]).encode(), media_type="text/plain")(scope, receive, send)


async def test_routes_fit_whole_segments_and_name_the_methods_they_take() -> None:
    routes = Routes()
    routes.add("/hooks/calls/{source}", {"POST": named})
    routes.add("/hooks/{format}/latest", {"GET": named})
    app = Observed(service, CollectorRegistry(), service="test", direct=routes)
    assert (await call(app, "POST", "/hooks/calls/shop")).text == "{'source': 'shop'}"
    assert (await call(app, "GET", "/hooks/mail/latest")).text == "{'format': 'mail'}"
    refused = await call(app, "PUT", "/hooks/calls/shop")
    assert (refused.status_code, refused.headers["allow"], refused.json()["code"]) == (
        405,
        "POST",
        "method_not_allowed",
    )
    assert (await call(app, "POST", "/hooks/calls/shop/more")).text == "fine"
    with pytest.raises(ValueError, match="taken"):
        routes.add("/hooks/calls/{source}", {"POST": service})
