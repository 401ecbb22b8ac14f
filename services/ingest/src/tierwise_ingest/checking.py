"""What checks of signatures need beside the request: a clock, a memory of tokens, and the addresses they name."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import httpx

from tierwise.problem import Unavailable
from tierwise_ingest.formats.format import Checking

_TOKENS_MAX: Final = 100_000
_CERTIFICATES_MAX: Final = 16
_CERTIFICATE_BYTES_MAX: Final = 64_000
_TIMEOUT_S: Final = 5.0


class OnlineChecking:
    """`Checking` of a running service. Certificates are remembered; of tokens the newest 100,000, in this process."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._tokens: OrderedDict[str, tuple[bytes, datetime]] = OrderedDict()
        self._certificates: OrderedDict[str, bytes] = OrderedDict()

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def is_alone(self, token: str, content: bytes, *, until: datetime) -> bool:
        known = self._tokens.get(token)
        if known is not None and known[1] > self.now:
            return known[0] == content
        self._tokens[token] = content, until
        self._tokens.move_to_end(token)
        while len(self._tokens) > _TOKENS_MAX:
            self._tokens.popitem(last=False)
        return True

    async def certificate(self, url: str) -> bytes:
        if url not in self._certificates:
            self._certificates[url] = await self._fetched(url)
            while len(self._certificates) > _CERTIFICATES_MAX:
                self._certificates.popitem(last=False)
        return self._certificates[url]

    async def confirm(self, url: str) -> None:
        await self._fetched(url)

    async def _fetched(self, url: str) -> bytes:
        try:
            async with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise Unavailable(f"{response.url.host} answered {response.status_code}.", retry_after_s=30)
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _CERTIFICATE_BYTES_MAX:
                        raise Unavailable(f"{response.url.host} answered with too much.", retry_after_s=30)
        except httpx.HTTPError as error:
            raise Unavailable("What the signature is checked with cannot be had now.", retry_after_s=30) from error
        return body


@asynccontextmanager
async def open_checking() -> AsyncIterator[Checking]:
    async with httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT_S, trust_env=False) as client:
        yield OnlineChecking(client)
