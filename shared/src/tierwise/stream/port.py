"""The stream between the services: one port, two implementations (`kafka`, `postgres`), one contract suite.

A *position* is the position of the *next* record to read in a partition: after reading the record at
position 7 a reader's position is 8. The stream never stores a reader's position: it lives in the database,
in the transaction that holds the effects of what was read (see `tierwise_scoring.store`).

Records are msgspec structs because one is made for every interaction: 0.15 us against a dataclass's 0.9.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import msgspec

RECORD_BYTES_MAX = 1_040_000
"""Of a record's key, value and headers together: what a Kafka broker accepts at its defaults, less the framing."""


class Partition(NamedTuple):
    """A partition of one log.

    The log is known by cluster and topic id, so that a topic that was deleted and made anew, or another cluster
    under the same address, is another log whose positions mean nothing here.
    """

    cluster: str
    topic_id: str
    topic: str
    index: int  # type: ignore[assignment]  # nobody asks a partition for tuple.index


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to append. `key` decides the partition (murmur2, as Kafka's own clients do) unless `partition`
    is set."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as read. `timestamp_ms`: when it was appended, milliseconds since 1970 UTC."""

    position: int
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one partition, all there are from `position` up to `next_position`, where reading goes
    on: every position of a log belongs to one slice, though records may have gaps."""

    partition: Partition
    position: int
    records: Sequence[Record] = field(repr=False)
    next_position: int


class StreamUnavailable(Exception):  # noqa: N818
    """The stream is slow or away. Whether an append under way happened is unknown; appending again is safe
    because duplicates die in the database."""


class RecordTooLarge(ValueError):  # noqa: N818
    """A record over RECORD_BYTES_MAX. Nothing of the append that held it was appended."""

    def __init__(self, index: int, size_bytes: int) -> None:
        super().__init__(f"record {index} has {size_bytes} bytes; the stream takes at most {RECORD_BYTES_MAX}")
        self.index, self.size_bytes = index, size_bytes


class PositionError(Exception):
    """Reading cannot go on from the stored position without a decision: the message names the choices."""


class PositionLost(PositionError):  # noqa: N818
    """The log does not hold the position asked for: it is before the first record kept, or past the end."""

    def __init__(self, partition: Partition, position: int, earliest: int, end: int) -> None:
        super().__init__(
            f"{partition.topic}[{partition.index}] holds positions {earliest} to {end}, not {position}: "
            "it was trimmed before it was scored, or the log was replaced. Choose: restore the log; or run "
            "`tierwise scoring --reset-positions earliest` to go on with what is left."
        )
        self.partition, self.position, self.earliest, self.end = partition, position, earliest, end


Assigned = Callable[[Sequence[Partition]], Awaitable[Mapping[Partition, int]]]
Revoked = Callable[[Sequence[Partition]], Awaitable[None]]


class Reader(Protocol):
    """A member of a group that shares a topic's partitions. Not safe for concurrent calls of `read`.

    `assigned` is awaited inside `read`, and what it raises comes out of `read`, whose next call tries again.
    `revoked` is awaited in the background, before another member can get the partitions (or after, when this
    one was cut off); what it raises is logged. The two are never awaited at the same time.
    """

    async def read(self, *, max_records: int, max_wait_ms: int) -> Sequence[Slice]:
        """The next records of the assigned partitions, as soon as there are any, none after `max_wait_ms`.

        Raises PositionLost (again with every call, until `seek`), StreamUnavailable (reading goes on by itself
        when the stream is back: call again after a pause). A revoked partition never appears after its `revoked`
        callback has returned, and nothing of it that was read but not yet returned.
        """

    async def seek(self, partition: Partition, position: int) -> None:
        """Go on from `position`; no error when the partition is not assigned any more."""

    def assigned(self) -> Sequence[Partition]:
        """The partitions that `read` reads from now, by index: those that `assigned` gave a position to."""

    async def lag(self) -> Mapping[Partition, int]:
        """Records between this reader's position and the end, for each assigned partition.

        Raises StreamUnavailable."""

    async def close(self) -> None:
        """Leave the group at once, so that others take the partitions over. `revoked` is not called."""


class Stream(Protocol):
    """An open connection to the event log."""

    async def append(self, topic: str, records: Sequence[Outgoing]) -> None:
        """Append all and return when every one is durable (all in-sync replicas, or flushed to disk).

        Records of one key keep their order. Raises StreamUnavailable when any of them may not be durable,
        RecordTooLarge. Whoever stops waiting (a timeout, a cancelled request) does not know whether it happened.
        """

    async def reader(self, topic: str, *, group: str, assigned: Assigned, revoked: Revoked) -> Reader:
        """Join `group` on `topic`. `assigned` is awaited with newly assigned partitions and answers the position
        to start each from; `revoked` is awaited before they pass to another member.

        Returns at once, also while the stream is away: `read` tells."""

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the missing ones of topic -> number of partitions; those that exist stay as they are."""

    async def partitions(self, topic: str) -> Sequence[Partition]:
        """All partitions of a topic, by index. Raises StreamUnavailable; an unknown topic has none."""

    async def ends(self, topic: str) -> Mapping[Partition, int]:
        """The position after the last record of each partition."""

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Let go of records whose position is lower than `before` says for their partition.

        The embedded stream deletes what lies wholly before; Apache Kafka keeps to its own retention."""

    async def expire(self, topics: Sequence[str]) -> None:
        """Let go of records of these topics that are older than the retention; Apache Kafka does it by itself."""

    async def check(self) -> None:
        """Raises StreamUnavailable unless the stream answers now. For readiness."""

    async def close(self) -> None:
        """Let go of all connections. Close readers first."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
