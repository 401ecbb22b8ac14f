"""Records that are numbers, for tests of the stream."""

import asyncio
from collections.abc import Sequence

from tierwise.stream.port import Outgoing, Stream


def numbered(count: int, *, start: int = 0, partition: int | None = None) -> list[Outgoing]:
    """Records of seven customers; each value is its number."""
    return [
        Outgoing(b"customer-%08d" % (number % 7), b"%d" % number, partition=partition)
        for number in range(start, start + count)
    ]


def numbers(records: Sequence[object]) -> list[int]:
    return [int(record.value) for record in records]  # type: ignore[attr-defined]


async def append_slowly(stream: Stream, topic: str, count: int) -> None:
    for number in range(0, count, 10):
        await stream.append(topic, numbered(10, start=number))
        await asyncio.sleep(0.003)
