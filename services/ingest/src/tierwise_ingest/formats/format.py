"""What a format is: how its requests are authenticated and read, and what its clients expect for an answer.

A format is a value of the table in `tierwise_ingest.formats.table`; its functions are pure and know of no stream.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from tierwise.asgi import Response
from tierwise.domain.claim import Admitted, Claim, Terms, take
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request


class Ignored(NamedTuple):
    """An item that is understood and is no interaction. `reason`: one of a few words, for metrics."""

    reason: str


Item = Admitted | InvalidInteraction | Ignored

Read = Callable[[Request, Terms], Iterable[Item]]
"""The items of a request, in its order, one at a time. Raises Problem where the request as a whole cannot be read."""

Answer = Callable[[Request, Outcome], Response]
"""What the client is told once the stream has what was accepted."""


class Route(NamedTuple):
    """`path`: with `{name}` for a segment that varies. `document`: its OpenAPI operation."""

    method: str
    path: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WriteKey:
    """The request carries its source's write key. `find` raises Unauthorized where there is none. Where the path names
    a `{source}`, the key is to be that source's. `in_body`: it may be there, so the body is received before."""

    find: Callable[[Request], str]
    in_body: bool = False


class Checking(Protocol):
    """What a check of a signature may need beside the request and the secrets."""

    @property
    def now(self) -> datetime:
        """Aware, in UTC."""

    def is_alone(self, token: str, content: bytes, *, until: datetime) -> bool:
        """Whether the token came with no other content before; it is remembered until then. The same again is a sender
        that was not answered."""

    async def certificate(self, url: str) -> bytes:
        """A PEM certificate from an address that the format has allowed. Raises Unavailable."""

    async def confirm(self, url: str) -> None:
        """Visit an address that the format has allowed, once, following no redirect. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The path names the `{source}` and the request proves to come from who shares its secrets, two of them while they
    rotate. `verify` raises Unauthorized. What such a sender sent and could not be mapped becomes a dead letter."""

    verify: Callable[[Request, Source, Sequence[bytes], Checking], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Format:
    """`keeps_unmapped`: what is not understood goes to the dead letters instead of being refused, since a webhook's
    sender won't mend it. `body_bytes_max`: of the inflated body; None: the setting's. `reason_member`: of a problem,
    where the format's clients look for the reason."""

    name: str
    routes: Sequence[Route]
    credentials: WriteKey | Signature
    read: Read
    answer: Answer
    keeps_unmapped: bool = False
    body_bytes_max: int | None = None
    reason_member: str | None = None


def taken(claim: Claim, terms: Terms) -> Admitted | InvalidInteraction:
    """The item that a claim makes."""
    try:
        return take(claim, terms)
    except InvalidInteraction as rejection:
        return rejection
