"""A reader of the stream with a memory, for tests."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self

from tierwise.stream.port import Partition, Reader, Record, Slice, Stream

PATIENCE_S = 30.0


class Reading:
    """Joins a group, the topic's own by default; starts where `positions` say, else at 0; remembers what happened."""

    def __init__(self, positions: dict[Partition, int] | None = None) -> None:
        self.positions: dict[Partition, int] = {} if positions is None else positions
        self.events: list[tuple[str, int]] = []
        self.records: dict[int, list[Record]] = {}
        self.reader: Reader

    @classmethod
    async def join(
        cls, stream: Stream, topic: str, group: str | None = None, positions: dict[Partition, int] | None = None
    ) -> Self:
        reading = cls(positions)
        reading.reader = await stream.reader(
            topic, group=group or topic, assigned=reading._assigned, revoked=reading._revoked
        )
        return reading

    async def until(self, count: int, *, max_records: int = 1_000) -> list[Record]:
        """Read until `count` records are there in all; they come by partition."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(map(len, self.records.values())) < count:
                self.keep(await self.reader.read(max_records=max_records, max_wait_ms=500))
        return [record for _, records in sorted(self.records.items()) for record in records]

    async def until_assigned(self, count: int) -> list[int]:
        """Read until `count` partitions are this reader's; their indexes."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.reader.assigned()) != count:
                self.keep(await self.reader.read(max_records=1_000, max_wait_ms=100))
        return [partition.index for partition in self.reader.assigned()]

    def keep(self, slices: Sequence[Slice]) -> None:
        for one in slices:
            self.events.append(("read", one.partition.index))
            self.records.setdefault(one.partition.index, []).extend(one.records)
            self.positions[one.partition] = one.next_position

    async def _assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.events += [("assigned", partition.index) for partition in partitions]
        return {partition: self.positions.get(partition, 0) for partition in partitions}

    async def _revoked(self, partitions: Sequence[Partition]) -> None:
        self.events += [("revoked", partition.index) for partition in partitions]
