"""The server around every service: what it says with each answer, and whom it does not wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from tests.support.services import free_port, until
from tierwise import serving
from tierwise.asgi import Receive, Response, Scope, Send
from tierwise.guarded import HEAD_BYTES_MAX, GuardedProtocol
from tierwise.observed import Observed


class Hasty(GuardedProtocol):
    request_s = 0.4


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/broken":
        raise ValueError("with a secret in it")
    page = scope["path"] in ("/page", "/docs")
    await Response(200, b"<p>", media_type="text/html; charset=utf-8" if page else "text/plain")(scope, receive, send)


@asynccontextmanager
async def served(**differing: Any) -> AsyncIterator[int]:
    """The port of a server as services run it."""
    port = free_port()
    observed = Observed(application, CollectorRegistry(), service="test")
    config = uvicorn.Config(observed, port=port, lifespan="off", **(serving.UVICORN | differing))
    server = serving._Server(config)
    running = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await until(started, within_s=5, every_s=0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await running


async def raw(port: int, *parts: bytes) -> bytes:
    """All that the server says until it hangs up; each part is sent when it likes to have it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("path", ["/", "/page", "/broken"])
async def test_every_answer_forbids_guessing_its_type_and_telling_where_it_was(path: str) -> None:
    async with served() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get(path)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers
    assert "with a secret in it" not in answer.text


async def test_pages_say_what_they_may_load_and_data_need_not() -> None:
    async with served() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        page, documentation, data = [await client.get(path) for path in ("/page", "/docs", "/")]

    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "script-src" not in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in documentation.headers["content-security-policy"]
    assert "content-security-policy" not in data.headers


async def test_browsers_that_came_by_tls_are_told_to_do_so_from_now_on() -> None:
    async with served() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/", headers={"X-Forwarded-Proto": "https"})

    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_head_that_does_not_end_is_refused_and_not_gathered() -> None:
    async with served() as port:
        answer = await raw(port, b"GET / HTTP/1.1\r\nhost: x\r\n", *[b"x-more: " + b"a" * 8_000 + b"\r\n"] * 64)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def test_a_head_within_the_bound_is_read() -> None:
    size = HEAD_BYTES_MAX // 8 - 100
    async with served() as port:
        head = b"".join(b"x-%d: %s\r\n" % (number, b"a" * size) for number in range(7))
        answer = await raw(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", head, b"\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        (),
        (b"GET / HTTP/1.1\r\nhost: x\r\n",),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n", b"123"),
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_who_sends_too_slowly_is_let_go(sent: tuple[bytes, ...]) -> None:
    async with served(http=Hasty) as port:
        answer = await raw(port, *sent)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


async def test_who_has_sent_a_whole_request_may_wait_for_the_next() -> None:
    async with served(http=Hasty) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readuntil(b"<p>")).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(Hasty.request_s * 2)
        writer.close()
