"""Sending one event to one endpoint."""

import asyncio
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

import httpcore

from tierwise.domain.change import rfc3339
from tierwise.webhooks.attempt import ANSWER_BYTES_MAX, Attempt
from tierwise_scoring.webhooks.guard import Guard, Lookups, Network

TIMEOUT_S: Final = 15.0
"""From looking up the name to the end of the answer."""

GONE: Final = 410
_CONNECT_TIMEOUT_S: Final = 5.0
_IDLE_CONNECTIONS: Final = 100
_KEEP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """`headers`: without those that every request has."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an attempt. `retry_after`: as the endpoint asked for. `hopeless`: it could not even be sent, and
    another attempt would be no better."""

    attempt: Attempt
    retry_after: timedelta | None = None
    hopeless: bool = False

    @property
    def delivered(self) -> bool:
        return self.attempt.status is not None and 200 <= self.attempt.status < 300

    @property
    def gone(self) -> bool:
        return self.attempt.status == GONE


class Sender:
    """Follows no redirect, uses no proxy, keeps no cookies. Plain http goes to `allowed` networks only."""

    def __init__(
        self,
        allowed: Collection[Network],
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._lookups, self._timeout_s = Lookups(), timeout_s
        tls = tls or ssl.create_default_context()
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=None,  # couriers bound them, each for itself
                max_keepalive_connections=_IDLE_CONNECTIONS,
                keepalive_expiry=_KEEP_S,
                network_backend=Guard(self._lookups, allowed, public=scheme == "https"),
            )
            for scheme in ("https", "http")
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._lookups.close()

    async def send(self, request: Request, at: datetime) -> Result:
        """`at`: the moment of the attempt, by the database's clock. Never raises what the endpoint or the network did
        wrong: it is in the result."""
        started = time.perf_counter()
        status, error, answer, retry_after = None, None, None, None
        try:
            async with asyncio.timeout(self._timeout_s):
                status, answer, retry_after = await self._exchange(request)
        except TimeoutError:
            error = f"no answer within {self._timeout_s:g} s"
        except _FAILURES as failure:
            error = str(failure) or type(failure).__name__
        if status is not None and 300 <= status < 400:
            error = "redirects are not followed: change the subscription's url"
        ms = round((time.perf_counter() - started) * 1000)
        attempt = Attempt(at=rfc3339(at), ms=ms, status=status, error=error, answer=answer)
        return Result(attempt, _after(retry_after, at))

    async def _exchange(self, request: Request) -> tuple[int, str | None, str | None]:
        """Status, the beginning of the body, Retry-After."""
        pool = self._pools[request.url.partition(":")[0]]
        headers = list((_HEADERS | request.headers).items())
        extensions = {"timeout": {"connect": _CONNECT_TIMEOUT_S}}
        body = b""
        async with pool.stream(
            request.method, request.url, headers=headers, content=request.body, extensions=extensions
        ) as response:
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:  # the rest is never read: leaving closes the connection
                    break
        after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
        return response.status, _text(body), after.decode("latin-1") or None


_HEADERS: Final = {"content-type": "application/json", "user-agent": f"Tierwise/{version('tierwise-scoring')}"}
_FAILURES: Final = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
    OSError,
)


def _text(body: bytes) -> str | None:
    return body[:ANSWER_BYTES_MAX].decode("utf-8", "replace").replace("\0", "\ufffd") or None


def _after(header: str | None, now: datetime) -> timedelta | None:
    """RFC 9110, section 10.2.3: seconds or a date. None where it is neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return timedelta(seconds=min(int(header.strip()[:10]), 10**7))
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta(0))
