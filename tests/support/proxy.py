"""A TCP proxy that can go away and come back: what a server's outage looks like to its clients."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

_CHUNKS_MAX = 64  # under way in one direction
_NOT_AT_ALL = struct.pack("ii", 1, 0)  # struct linger

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Proxy:
    """Listens on `port` of 127.0.0.1 and forwards to what `connect` opens. `delay_s`: of whatever passes, one way."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self.delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def go_away(self) -> None:
        """Refuse new connections and cut the existing ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """End the existing connections, in the middle of whatever they are at: reset, as those of a killed process."""
        for writer in list(self._writers):
            if not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOT_AT_ALL)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await self._connect()
            self._writers.add(far_writer)
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            self._writers.discard(far_writer)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        passing: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_MAX)
        writing = asyncio.create_task(_write_when_due(passing, writer))
        try:
            while data := await reader.read(1 << 16):
                await passing.put((clock() + self.delay_s, data))
        except ConnectionError:
            pass
        finally:
            await passing.put((clock() + self.delay_s, b""))
            await writing


async def _write_when_due(passing: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
    """Until nothing more comes. What cannot be written any more is taken all the same."""
    clock = asyncio.get_running_loop().time
    while (item := await passing.get())[1]:
        await asyncio.sleep(max(0.0, item[0] - clock()))
        try:
            writer.write(item[1])
            await writer.drain()
        except ConnectionError:
            continue
    writer.close()
