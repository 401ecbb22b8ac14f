"""Where scoring stands in each partition: read when partitions are assigned, and again when a batch was refused."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from zlib import crc32

import asyncpg
from sqlalchemy import bindparam, delete, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.tables import stream_positions
from tierwise.stream.port import Partition, PositionError

_LOCKS: Final = 0x706F73  # 'pos', the class of our advisory locks


class LogReplaced(PositionError):  # noqa: N818
    """The stream's log is not the one that was scored until now."""

    def __init__(self, partition: Partition, scored: Sequence[str]) -> None:
        super().__init__(
            f"the topic {partition.topic} of this stream (cluster {partition.cluster}, topic id {partition.topic_id}) "
            f"was never scored, but another one was: {', '.join(scored)}. Was the topic made anew, or the stream "
            "changed between embedded and Kafka? Choose: configure the former stream again; or, if everything in it "
            "is scored or may be given up, run `tierwise scoring --reset-positions earliest` once to start at the "
            "beginning of this one."
        )


async def read_positions(engine: AsyncEngine, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
    """The stored position of each; a partition of a log that is new altogether starts at 0. Raises LogReplaced."""
    if not partitions:
        return {}
    table = stream_positions.c
    async with engine.begin() as connection:
        rows = await connection.execute(
            select(table.cluster, table.topic_id, table.partition, table.position).where(
                table.topic == partitions[0].topic
            )
        )
        held = {(cluster, topic_id, index): position for cluster, topic_id, index, position in rows}
        logs = {key[:2] for key in held}
        for partition in partitions:
            if logs and partition[:2] not in logs:
                raise LogReplaced(partition, sorted(f"cluster {cluster}, topic id {id_}" for cluster, id_ in logs))
        new = [partition for partition in partitions if _key(partition) not in held]
        if new:
            await connection.execute(
                insert(stream_positions).on_conflict_do_nothing(), [_row(partition, 0) for partition in new]
            )
        return {partition: held.get(_key(partition), 0) for partition in partitions}


async def end_former(engine: AsyncEngine, partitions: Sequence[Partition]) -> int:
    """End the sessions that are processing these partitions, which are this worker's now: of one that hangs in its
    transaction, and would keep what it has locked for as long. Returns how many. What they had not committed is done
    again; one that lives finds its connection gone."""
    async with engine.begin() as connection:
        ended = await connection.execute(
            _END_FORMER, {"held": [_lock(partition) % (1 << 32) for partition in partitions]}
        )
        return len(ended.all())


# Whoever processes a batch holds the locks of `be_known`.
_END_FORMER = text(
    """SELECT pg_terminate_backend(pid) FROM (
           SELECT DISTINCT pg_locks.pid FROM pg_locks
           JOIN pg_stat_activity AS session ON session.pid = pg_locks.pid AND session.usename = current_user
           WHERE locktype = 'advisory' AND granted AND objsubid = 2
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND classid = :class AND objid::bigint IN :held) AS former"""
).bindparams(bindparam("class", _LOCKS), bindparam("held", expanding=True))


async def be_known(tx: asyncpg.Connection, partitions: Iterable[Partition]) -> datetime:
    """Hold a shared lock for each of them until the transaction ends, by which `end_former` finds it. Returns the
    transaction's time."""
    locks = [_lock(partition) for partition in partitions]
    rows = await tx.fetch(
        "SELECT now(), pg_advisory_xact_lock_shared($1, lock) FROM unnest($2::int[]) AS lock", _LOCKS, locks
    )
    now: datetime = rows[0][0]
    return now


def _lock(partition: Partition) -> int:
    """32 bits, signed. Where two have the same, a session more is ended, which tries again."""
    return crc32("/".join(map(str, _key(partition))).encode()) - (1 << 31)


async def passed(connection: AsyncConnection, ends: Mapping[Partition, int]) -> bool:
    """Whether everything below these positions is scored, in every partition."""
    table = stream_positions.c
    rows = await connection.execute(select(table.cluster, table.topic_id, table.partition, table.position))
    held = {(cluster, topic_id, index): position for cluster, topic_id, index, position in rows}
    return all(held.get(_key(partition), 0) >= end for partition, end in ends.items())


async def reset_positions(engine: AsyncEngine, positions: Mapping[Partition, int]) -> None:
    """Start these partitions elsewhere, and forget every other log of their topic: an operator's decision."""
    here = next(iter(positions))
    table = stream_positions
    async with engine.begin() as connection:
        await connection.execute(
            delete(table).where(
                table.c.topic == here.topic,
                tuple_(table.c.cluster, table.c.topic_id) != tuple_(here.cluster, here.topic_id),
            )
        )
        for partition, position in positions.items():
            statement = insert(table).values(_row(partition, position))
            key = (table.c.cluster, table.c.topic_id, table.c.partition)
            await connection.execute(statement.on_conflict_do_update(index_elements=key, set_={"position": position}))


def _key(partition: Partition) -> tuple[str, str, int]:
    return partition.cluster, partition.topic_id, partition.index


def _row(partition: Partition, position: int) -> dict[str, object]:
    return {
        "cluster": partition.cluster,
        "topic_id": partition.topic_id,
        "partition": partition.index,
        "topic": partition.topic,
        "position": position,
    }
