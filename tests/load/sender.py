"""The load generator, a process of its own: `python -m tests.load.sender` with a JSON order on standard input.

Raw sockets and requests made beforehand, so that what is measured is the service.
"""

import asyncio
import statistics
import sys
import time
from pathlib import Path

import msgspec
import uvloop


class Order(msgspec.Struct):
    """Send `requests` requests, in turns those that lie in `directory`, over `connections` connections: as fast as they
    are answered, or so many a second, and then latencies count from when a request was due."""

    port: int
    directory: str
    requests: int
    connections: int
    per_second: float | None = None


class Sent(msgspec.Struct):
    """`seconds` from the first byte sent to the last answer; latencies are of single requests."""

    seconds: float
    latency_p50_ms: float
    latency_p99_ms: float


async def send(order: Order) -> Sent:
    """Raises RuntimeError for any answer but 200 and 202."""
    prepared = _prepared(Path(order.directory))
    waiting = iter(range(order.requests))
    latencies: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", order.port)
        for number in waiting:
            started = time.perf_counter()
            if order.per_second is not None:
                due = begun + number / order.per_second
                await asyncio.sleep(due - started)
                started = due
            writer.write(prepared[number % len(prepared)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
                raise RuntimeError((head + body)[:500].decode())
            latencies.append(time.perf_counter() - started)
        writer.close()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(order.connections):
            group.create_task(connection())
    seconds = time.perf_counter() - begun
    cuts = statistics.quantiles(latencies, n=100)
    return Sent(seconds, cuts[49] * 1000, cuts[98] * 1000)


def _prepared(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(directory.iterdir())]


def request(path: str, key: str, body: bytes, content_type: str = "application/json") -> bytes:
    """The bytes of a whole HTTP/1.1 request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ordered(order: Order) -> Sent:
    """Send from another process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.load.sender", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate(msgspec.json.encode(order))
    if process.returncode:
        raise RuntimeError("the load generator failed; what it said stands above")
    return msgspec.json.decode(answer, type=Sent)


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(uvloop.run(send(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))))
    )
