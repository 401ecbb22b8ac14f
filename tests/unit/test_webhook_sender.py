"""Sending to an endpoint: nothing reaches the network that Tierwise stands in, and no endpoint holds anything up."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.deliveries import LOOPBACK, Answer, Endpoint, Received, endpoint
from tierwise_scoring.webhooks.guard import Lookups, meant
from tierwise_scoring.webhooks.sender import Request, Result, Sender

NAME = "hooks.test"


@pytest.fixture
async def receiver() -> AsyncIterator[Endpoint]:
    async with endpoint() as one:
        yield one


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """The name server says these, one after another, or that it knows no such name; the names that were asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **named: Any) -> Any:
        if host != NAME:
            return real(host, *rest, **named)
        asked.append(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(answers[min(len(asked), len(answers)) - 1], *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


async def send(url: str, **sender: Any) -> Result:
    given: dict[str, Any] = {"allowed": [], "timeout_s": 5.0}
    async with Sender(**given | sender) as one:
        return await one.send(Request("POST", url, {}, b"{}"), datetime.now(UTC))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::]", "169.254.169.254", "10.0.0.1", "172.16.0.1",
        "192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::ffff:10.0.0.1]", "[::ffff:127.0.0.1]",
        "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.1", "0x7f.1", "2130706433",
    ],
)  # fmt: skip
async def test_no_address_inside_is_connected_to(host: str, scheme: str) -> None:
    result = await send(f"{scheme}://{host}:9/hook")
    assert result.attempt.status is None
    assert "TIERWISE_WEBHOOK_ALLOWED_NETWORKS" in str(result.attempt.error)


async def test_a_name_that_leads_inside_is_not_connected_to(
    receiver: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    result = await send(f"https://{NAME}:{receiver.port}/hook")
    assert f"{NAME} (127.0.0.1)" in str(result.attempt.error)
    assert receiver.received == []


async def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, "127.0.0.1", "127.0.0.9")
    result = await send(f"http://{NAME}:{receiver.port}/hook?a=1", allowed=[ip_network("127.0.0.1/32")])
    assert result.delivered
    assert asked == [NAME]
    assert receiver.received[0].path == "/hook?a=1"
    assert receiver.received[0].headers["host"] == f"{NAME}:{receiver.port}"


async def test_plain_http_only_goes_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.216.34")
    result = await send(f"http://{NAME}/hook", allowed=[LOOPBACK])
    assert "https" in str(result.attempt.error)


async def test_a_redirect_is_not_followed(receiver: Endpoint) -> None:
    async with endpoint() as inside:
        receiver.says(302, Location=inside.url)
        result = await send(receiver.url, allowed=[LOOPBACK])
        assert (result.delivered, result.attempt.status, inside.received) == (False, 302, [])
        assert "redirects are not followed" in str(result.attempt.error)


def test_an_address_that_wraps_another_means_both() -> None:
    wrapped = {str(one) for one in meant(ip_address("64:ff9b::a00:1"))}
    assert wrapped == {"64:ff9b::a00:1", "10.0.0.1"}
    assert [str(one) for one in meant(ip_address("::ffff:8.8.8.8"))] == ["8.8.8.8"]


async def test_an_endpoint_that_says_nothing_is_given_up_in_time(receiver: Endpoint) -> None:
    async def sleep(_: Received) -> Answer:
        await asyncio.sleep(30)
        return Answer()

    receiver.answer = sleep
    result = await send(receiver.url, allowed=[LOOPBACK], timeout_s=0.2)
    assert result.attempt.error == "no answer within 0.2 s"
    assert 150 <= result.attempt.ms < 2_000


async def test_of_a_long_answer_only_the_beginning_is_read(receiver: Endpoint) -> None:
    async def talk(_: Received) -> Answer:
        return Answer(200, body=b"a" * 50_000_000)

    receiver.answer = talk
    result = await send(receiver.url, allowed=[LOOPBACK])
    assert result.delivered
    assert result.attempt.answer == "a" * 1_000


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120), ("0", 0), ("soon", None), ("-3", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0)]
)
async def test_what_an_endpoint_asks_for_is_understood_or_passed_over(
    receiver: Endpoint, header: str, seconds: float | None
) -> None:
    receiver.says(503, **{"Retry-After": header})
    result = await send(receiver.url, allowed=[LOOPBACK])
    assert result.retry_after == (None if seconds is None else timedelta(seconds=seconds))


async def test_nobody_there_and_no_such_name_are_told(receiver: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await send("http://127.0.0.1:9/", allowed=[LOOPBACK])).attempt.error
    resolving(monkeypatch)
    result = await send(f"https://{NAME}/", allowed=[LOOPBACK])
    assert f"{NAME} cannot be looked up" in str(result.attempt.error)


async def test_a_name_is_looked_up_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, "127.0.0.1")
    lookups = Lookups()
    found = await asyncio.gather(*(lookups.addresses(NAME) for _ in range(50)))
    lookups.close()
    assert found == [[ip_address("127.0.0.1")]] * 50
    assert len(asked) == 1


def certificate(directory: Path, name: str) -> dict[str, str]:
    """Of a server of this name, signed by itself; as uvicorn takes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = {"ssl_certfile": str(directory / "server.pem"), "ssl_keyfile": str(directory / "server.key")}
    Path(files["ssl_certfile"]).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    Path(files["ssl_keyfile"]).write_bytes(plain)
    return files


async def test_tls_is_checked_by_the_name_and_not_by_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificate(tmp_path, NAME)
    trusting = ssl.create_default_context(cafile=files["ssl_certfile"])
    resolving(monkeypatch, "127.0.0.1")
    async with endpoint(**files) as secure:
        result = await send(f"https://{NAME}:{secure.port}/hook", allowed=[LOOPBACK], tls=trusting)
        assert result.delivered, result
        for other in (f"https://127.0.0.1:{secure.port}/hook", f"https://localhost:{secure.port}/hook"):
            refused = await send(other, allowed=[LOOPBACK], tls=trusting)
            assert "certificate" in str(refused.attempt.error).lower(), json.dumps(refused.attempt.error)
        assert len(secure.received) == 1
