"""Reading one topic alone, from given positions on, whatever the stream."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from tierwise.db.engine import open_engine
from tierwise.db.migrate import check
from tierwise.problem import Problem
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import kafka_stream, open_stream
from tierwise.stream.port import Partition, PositionLost, Reader, Slice, Stream, StreamUnavailable

log = structlog.get_logger("tierwise.subscribing")

_RECORDS_MAX: Final = 500
_WAIT_MS: Final = 500
_RETRY_S: Final = 1.0
_CONNECTIONS: Final = 3


class PositionGone(Problem):
    status, code, title = 410, "position_gone", "The topic does not hold this position"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Stream]:
    """The stream that the settings ask for; Apache Kafka needs no database."""
    if (kafka := kafka_stream(settings)) is not None:
        async with kafka:
            yield kafka
        return
    async with open_engine(settings, pool_size=_CONNECTIONS) as engine:
        await check(engine)
        async with open_stream(settings, engine, await open_vault(engine, settings)) as stream:
            yield stream


class Following:
    """`positions`: by partition, those of the next records; moves on as they are read. A partition without one begins
    at its first record, and where that was trimmed, at the first one kept."""

    def __init__(self, stream: Stream, topic: str, positions: Sequence[int]) -> None:
        self._stream, self._topic = stream, topic
        self._given = len(positions)
        self.positions = dict(enumerate(positions))

    async def slices(self) -> AsyncIterator[Slice]:
        """Without end; goes on after outages of the stream. Raises PositionGone."""
        # Members of a group share partitions: alone in a group of its own a reader gets all of them.
        group = f"subscribe-{secrets.token_hex(6)}"
        reader = await self._stream.reader(self._topic, group=group, assigned=self._start, revoked=_nothing)
        try:
            while True:
                for one in await self._read(reader):
                    self.positions[one.partition.index] = one.next_position
                    yield one
        finally:
            await reader.close()

    async def _read(self, reader: Reader) -> Sequence[Slice]:
        try:
            return await reader.read(max_records=_RECORDS_MAX, max_wait_ms=_WAIT_MS)
        except PositionLost as lost:
            if lost.position != 0 or lost.partition.index < self._given:
                raise PositionGone(
                    f"{self._topic}[{lost.partition.index}] holds the positions {lost.earliest} to {lost.end}, not "
                    f"{lost.position}: take a new export, and go on from the positions that come with it."
                ) from lost
            await reader.seek(lost.partition, lost.earliest)
        except StreamUnavailable as error:
            log.warning("stream_away", reason=str(error))
            await asyncio.sleep(_RETRY_S)
        return []

    async def _start(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return {partition: self.positions.get(partition.index, 0) for partition in partitions}


async def _nothing(_: Sequence[Partition]) -> None:
    return None
