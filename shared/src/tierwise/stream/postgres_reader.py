"""Reading the embedded stream as a member of a group."""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.security.personal import Vault
from tierwise.stream import payload, postgres_append, postgres_group
from tierwise.stream.port import (
    Assigned,
    Partition,
    PositionLost,
    Record,
    Revoked,
    Slice,
    StreamUnavailable,
)
from tierwise.stream.postgres_group import BEAT_S, Membership, MembershipLost
from tierwise.stream.postgres_session import Session
from tierwise.waiting import happens_within

log = structlog.get_logger()

_POLL_S = 0.5  # for when a notification was lost
_BACKOFF_S = 0.5
_FETCH_BYTES_MAX = 8_000_000  # of stored rows, over all partitions
_FETCH_ROWS_MAX = 256  # of one partition

# The running sums end the search: rows are counted and weighed without being read (they lie out of line).
_FETCH = f"""
SELECT w.partition, h.first, h.next, b.base_position, b.appended_at, b.payload
FROM unnest($2::int[], $3::bigint[]) AS w (partition, position)
JOIN stream_heads h ON h.topic = $1 AND h.partition = w.partition
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT base_position, appended_at, payload, sum(count) OVER earlier AS records_before,
            sum(octet_length(payload)) OVER earlier AS bytes_before
        FROM stream_batches
        WHERE topic = $1 AND partition = w.partition AND base_position + count > w.position
            AND base_position >= coalesce((
                SELECT max(base_position) FROM stream_batches
                WHERE topic = $1 AND partition = w.partition AND base_position <= w.position), 0)
        WINDOW earlier AS (ORDER BY base_position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ORDER BY base_position LIMIT {_FETCH_ROWS_MAX}
    ) AS weighed WHERE coalesce(records_before, 0) < $4 AND coalesce(bytes_before, 0) < $5
) AS b ON true
ORDER BY w.partition, b.base_position
"""
_ENDS = "SELECT partition, next FROM stream_heads WHERE topic = $1"


class _Held:
    """A partition whose lock this member holds; thrown away when it is revoked or sought anew."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.position: int | None = None  # None until `assigned` has told; then of the next record to return
        self.buffer: list[Record] = []

    def take(self, count: int) -> Slice | None:
        """The next records of the buffer; None where there are none."""
        if self.position is None or not self.buffer:
            return None
        records, self.buffer = self.buffer[:count], self.buffer[count:]
        position, self.position = self.position, records[-1].position + 1
        return Slice(self.partition, position, records, self.position)


class PostgresReader:
    """The port `tierwise.stream.port.Reader`; its own connection listens, locks, beats and reads."""

    def __init__(
        self,
        engine: AsyncEngine,
        vault: Vault,
        topic: str,
        *,
        group: str,
        on_assigned: Assigned,
        on_revoked: Revoked,
    ) -> None:
        self._vault, self._topic, self._group = vault, topic, group
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._session = Session(engine)
        self._member: Membership | None = None
        self._held: dict[int, _Held] = {}
        self._turn = 0  # which partition is the first to be returned from
        self._away: StreamUnavailable | None = None
        self._something_to_read = asyncio.Event()
        self._group_changed = asyncio.Event()
        self._callback = asyncio.Lock()
        self._task = asyncio.create_task(self._stay_a_member(), name=f"stream-group-{group}")

    async def read(self, *, max_records: int, max_wait_ms: int) -> Sequence[Slice]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + max_wait_ms / 1000
        while True:
            self._something_to_read.clear()
            self._raise_failures()
            await self._position_new()
            slices = self._take(max_records)
            if not slices:
                await self._fetch(max_records)
                slices = self._take(max_records)
            wait_s = min(deadline - clock(), _POLL_S)
            if slices or wait_s <= 0:
                return slices
            await happens_within(self._something_to_read, wait_s)

    async def seek(self, partition: Partition, position: int) -> None:
        held = self._held.get(partition.index)
        if held is not None and held.partition == partition:
            self._held[partition.index] = anew = _Held(partition)
            anew.position = position

    def assigned(self) -> Sequence[Partition]:
        return [held.partition for _, held in sorted(self._held.items()) if held.position is not None]

    async def lag(self) -> Mapping[Partition, int]:
        self._raise_failures()
        member = self._member
        if member is None:
            return {}
        async with self._session.use("looking up the stream's ends", connect=False) as connection:
            ends = dict(await connection.fetch(_ENDS, member.topic.number))
        return {
            held.partition: ends[index] - held.position
            for index, held in sorted(self._held.items())
            if held.position is not None and index in ends
        }

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._held.clear()
        if self._member is not None:
            try:
                async with self._session.use("leaving the group", connect=False) as connection:
                    await self._member.leave(connection)
            except StreamUnavailable as error:
                log.info("stream_group_left_silently", group=self._group, reason=str(error))
        await self._session.close()

    def _raise_failures(self) -> None:
        if self._task.done():
            self._task.result()  # `revoked` failed, or a mistake of ours
        if self._away is not None:
            raise StreamUnavailable(*self._away.args) from self._away

    # --- reading

    async def _position_new(self) -> None:
        """Ask where to start the partitions that are new."""
        if all(held.position is not None for held in self._held.values()):
            return
        async with self._callback:
            new = {held.partition: held for held in self._held.values() if held.position is None}
            positions = await self._on_assigned(list(new)) if new else {}
            for partition, held in new.items():
                held.position = positions[partition]

    def _take(self, max_records: int) -> list[Slice]:
        slices: list[Slice] = []
        indexes = sorted(self._held)
        for turn in range(len(indexes)):
            held = self._held[indexes[(turn + self._turn) % len(indexes)]]
            if max_records > 0 and (taken := held.take(max_records)) is not None:
                slices.append(taken)
                max_records -= len(taken.records)
        self._turn += 1
        return slices

    async def _fetch(self, max_records: int) -> None:
        """Fill the empty buffers. Raises PositionLost, StreamUnavailable."""
        member = self._member
        wanted = dict(self._held)
        positions = {index: held.position for index, held in wanted.items() if held.position is not None}
        if member is None or not positions:
            return
        limits = max_records, _FETCH_BYTES_MAX // len(positions)
        which = list(positions), list(positions.values())
        async with self._session.use("reading the stream", connect=False) as connection:
            rows = await connection.fetch(_FETCH, member.topic.number, *which, *limits)
        # What was revoked or sought meanwhile is not in `_held` any more as it was.
        for row in rows:
            held = wanted[row["partition"]]
            if self._held.get(row["partition"]) is held:
                self._keep(held, positions[row["partition"]], row)

    def _keep(self, held: _Held, position: int, row: asyncpg.Record) -> None:
        if not row["first"] <= position <= row["next"]:
            raise PositionLost(held.partition, position, row["first"], row["next"])
        if row["payload"] is None:
            return
        records = payload.open_sealed(
            row["payload"],
            self._vault,
            topic_id=held.partition.topic_id,
            partition=held.partition.index,
            base_position=row["base_position"],
            timestamp_ms=int(row["appended_at"].timestamp() * 1000),
        )
        skipped = max(0, position - row["base_position"])
        held.buffer.extend(records[skipped:] if skipped else records)

    # --- belonging to the group

    async def _stay_a_member(self) -> None:
        """Join, then keep to what is this member's; begin anew whenever the database was away."""
        try:
            while True:
                try:
                    await self._join()
                    while self._member is not None:
                        await self._rebalance(self._member)
                        await happens_within(self._group_changed, BEAT_S)
                except StreamUnavailable as error:
                    self._away = error
                except MembershipLost as lost:
                    log.warning("stream_membership_lost", group=self._group, reason=str(lost))
                await self._lose_everything()
                await asyncio.sleep(_BACKOFF_S)
        except Exception:
            self._session.drop()  # others take over; `read` tells why
            raise
        finally:
            self._held.clear()
            self._something_to_read.set()

    async def _join(self) -> None:
        async with self._session.use("joining the group") as connection:
            connection.add_termination_listener(lambda _: self._group_changed.set())
            await connection.add_listener(postgres_append.CHANNEL, self._on_append)
            await connection.add_listener(postgres_group.CHANNEL, self._on_group_change)
            self._member = await Membership.join(connection, self._group, self._topic)
        if self._member is None:
            raise StreamUnavailable(f"the topic {self._topic} does not exist: run `tierwise migrate`")
        self._away = None

    async def _rebalance(self, member: Membership) -> None:
        self._group_changed.clear()
        async with self._session.use("keeping membership of the group", connect=False) as connection:
            mine = await member.beat(connection)
        await self._revoke([index for index in self._held if index not in mine])
        if wanted := sorted(mine - self._held.keys()):
            async with self._session.use("taking partitions", connect=False) as connection:
                got = await member.lock(connection, wanted)
            for index in got:
                self._held[index] = _Held(Partition(member.cluster, member.topic.id, member.topic.name, index))
            if got:
                self._something_to_read.set()

    async def _revoke(self, indexes: Sequence[int]) -> None:
        if not indexes or self._member is None:
            return
        async with self._callback:
            lost = [self._held.pop(index) for index in indexes]
            known = [held.partition for held in lost if held.position is not None]
            if known:
                await self._on_revoked(known)
        async with self._session.use("giving partitions up", connect=False) as connection:
            await self._member.unlock(connection, indexes)

    async def _lose_everything(self) -> None:
        """The locks are gone with the connection; others may read already."""
        self._session.drop()
        self._member = None
        self._something_to_read.set()
        async with self._callback:
            lost, self._held = self._held, {}
            known = [held.partition for held in lost.values() if held.position is not None]
            if known:
                await self._on_revoked(known)

    def _on_append(self, _connection: object, _pid: int, _channel: str, topic: str) -> None:
        if self._member is not None and topic == str(self._member.topic.number):
            self._something_to_read.set()

    def _on_group_change(self, _connection: object, _pid: int, _channel: str, group: str) -> None:
        if group == self._group:
            self._group_changed.set()
