"""The answer that does not end: server-sent events, as the HTML standard defines text/event-stream."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tierwise.problem import Unavailable
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.live import backlog
from tierwise_profile_api.live.feed import Feed, frame_of
from tierwise_profile_api.live.listener import Listener
from tierwise_profile_api.live.metrics import LiveMetrics
from tierwise_profile_api.live.position import Position
from tierwise_profile_api.live.term import EXPIRED, RENEW, REVOKED, Permit, Term

_CHUNK_BYTES: Final = 64_000
_SEND_TIMEOUT_S: Final = 30.0
_RETRY_MS: Final = (1_000, 5_000)  # drawn at random, so that not everybody comes back at once

_WHY_IT_ENDS: Final = {
    EXPIRED: "Your token has ended. Get a new one, and connect again with it and the last event's id.",
    REVOKED: "Your key was revoked. Connect again with another one and the last event's id.",
    "away": "The database is away. Connect again with the last event's id.",
    "restart": "This process stops. Connect again with the last event's id, as browsers do by themselves.",
    RENEW: "Connections are renewed by the hour. Connect again with the last event's id and a valid token.",
    "too_slow": "Too many events waited for you. Connect again with the last event's id, ask for less, or read faster.",
}


@dataclass(frozen=True, slots=True)
class Live:
    """What live connections of a process share. `life_s`: after that who listens has to prove again that they may;
    whether a key was revoked is looked at every `heartbeat_s`."""

    feed: Feed
    metrics: LiveMetrics
    heartbeat_s: float = 15.0
    life_s: float = 3_600.0


class LiveResponse(Response):
    """`heard`: where the client goes on; None: from now on."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, source: Backend, listener: Listener, heard: Position | None, permit: Permit) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live, self._source, self._listener, self._heard = live, source, listener, heard
        self._permit = permit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._live.feed.enter(self._listener)
        self._live.metrics.connections.inc()
        gone = asyncio.create_task(_until_gone(receive, self._listener))
        try:
            missed = self._heard is not None
            if not missed:
                self._heard = await self._join(0)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in self._chunks(missed=missed):
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            self._live.metrics.dropped.inc()  # who reads nothing cannot be told: the server cuts the connection
        finally:
            gone.cancel()
            self._live.feed.leave(self._listener)
            self._live.metrics.connections.dec()

    async def _join(self, transaction: int) -> Position:
        feed, listener = self._live.feed, self._listener
        while True:
            moved = feed.persons_moved
            if listener.customer is not None:
                found = await backlog.persons(self._source.reads, [listener.customer])
                listener.ids = found.get(listener.customer, listener.ids)
            await feed.reached(transaction)
            if (position := feed.join(listener, moved)) is not None:
                return position

    async def _chunks(self, *, missed: bool) -> AsyncIterator[bytes]:
        yield b"retry: %d\nid: %s\n\n" % (random.randint(*_RETRY_MS), str(self._heard).encode())  # noqa: S311
        term = Term(self._permit, life_s=self._live.life_s, every_s=self._live.heartbeat_s)
        if missed:
            try:
                async for chunk in self._catch_up():
                    yield chunk
                    if reason := await term.over():
                        yield _farewell(reason)
                        return
            except Unavailable:
                yield _farewell("away")
                return
        listener = self._listener
        while not (listener.lost or (listener.ended and not listener.waiting)):
            if reason := await term.over():
                yield _farewell(reason)
                return
            listener.stirred.clear()
            if listener.waiting:
                yield self._take()
            elif not await _within(min(self._live.heartbeat_s, term.left_s), listener.stirred):
                yield b": \nid: %s\n\n" % str(self._live.feed.position or self._heard).encode()
        if listener.lost:
            self._live.metrics.dropped.inc()
        yield _farewell("too_slow" if listener.lost else listener.ended or "restart")

    async def _catch_up(self) -> AsyncIterator[bytes]:
        """At the client's own pace until little is missing, then beside the events that come meanwhile."""
        joined = False
        while not joined and self._heard is not None and not self._listener.ended:
            heard = self._heard
            until = await self._live.feed.reached(heard.end)
            passed = 0
            async for rows in self._missed(heard, until):
                passed += 1
                yield rows
            self._heard = until
            if passed <= 1:
                until = await self._join(until.end)
                joined = True
                async for rows in self._missed(self._heard, until):
                    yield rows
                self._heard = until

    async def _missed(self, heard: Position, until: Position) -> AsyncIterator[bytes]:
        ids = self._listener.ids if self._listener.customer is not None else None
        async for rows in backlog.between(self._source.reads, heard, until, ids):
            wanted = [(at, row) for at, row in rows if self._listener.wanted.takes(row)]
            self._live.metrics.sent.inc(len(wanted))
            yield b"".join([await frame_of(row, at, self._source) for at, row in wanted]) or b": \n\n"

    def _take(self) -> bytes:
        frames, size, waiting = [], 0, self._listener.waiting
        while waiting and size < _CHUNK_BYTES:
            self._heard, frame = waiting.popleft()
            frames.append(frame)
            size += len(frame)
        self._live.metrics.sent.inc(len(frames))
        return b"".join(frames)


def _farewell(reason: str) -> bytes:
    data = msgspec.json.encode({"reason": reason, "detail": _WHY_IT_ENDS[reason]})
    return b"event: end\ndata: %s\n\n" % data


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end("restart")


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
