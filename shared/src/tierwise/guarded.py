"""HTTP/1.1 as uvicorn speaks it, within bounds: a head that does not end is not gathered, and nobody holds a connection
by sending slowly, or nothing."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from tierwise.joined_writes import JoiningProtocol

HEAD_BYTES_MAX: Final = 64_000
"""Of request line and headers, about: what came in one piece is read."""

REQUEST_S: Final = 60.0
"""For a connection's first byte, and for a whole request from its first byte on."""

GRACE_S: Final = 1.0
"""For requests that are on their way when the service is told to stop."""


class GuardedProtocol(JoiningProtocol):
    """One timer a connection, that looks after the fact: requests set no timer of their own."""

    head_bytes_max, request_s = HEAD_BYTES_MAX, REQUEST_S

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head, self._head_bytes = False, 0
        self._waiting_since: float | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._stop_looking()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.head_bytes_max:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._waiting_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The service is told to stop: each connection ends with its next answer, or when no request has come for a
        while. Closing idle ones at once would reset those whose request is on its way."""
        self._ending = True
        self.loop.call_later(GRACE_S, super().shutdown)
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._waiting_since = None
        super().on_message_complete()

    def _look(self) -> None:
        now = self.loop.time()
        if self._waiting_since is not None and now - self._waiting_since >= self.request_s:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif not self.transport.is_closing():
            self._looking = self.loop.call_later(self.request_s / 4, self._look)

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _refuse(self, status: HTTPStatus) -> None:
        if self._in_head:  # no answer is under way
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(line.encode())
        self.transport.close()
