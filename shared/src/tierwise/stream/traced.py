"""A stream whose appends are spans, which its records name in their headers."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tierwise.spans import Spans
from tierwise.stream.port import Assigned, Outgoing, Partition, Reader, Revoked, Stream


class TracedStream:
    """The port `tierwise.stream.port.Stream` over another implementation of it."""

    def __init__(self, stream: Stream, spans: Spans) -> None:
        self._stream, self._spans = stream, spans

    async def append(self, topic: str, records: Sequence[Outgoing]) -> None:
        with self._spans.appending(topic, records) as stamped:
            await self._stream.append(topic, stamped)

    async def reader(self, topic: str, *, group: str, assigned: Assigned, revoked: Revoked) -> Reader:
        return await self._stream.reader(topic, group=group, assigned=assigned, revoked=revoked)

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        await self._stream.create_topics(topics)

    async def partitions(self, topic: str) -> Sequence[Partition]:
        return await self._stream.partitions(topic)

    async def ends(self, topic: str) -> Mapping[Partition, int]:
        return await self._stream.ends(topic)

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        await self._stream.trim(topic, before)

    async def expire(self, topics: Sequence[str]) -> None:
        await self._stream.expire(topics)

    async def check(self) -> None:
        await self._stream.check()

    async def close(self) -> None:
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
