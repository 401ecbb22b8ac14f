"""Groups of readers on the embedded stream: who is a member, and which partitions are whose.

A member is a row of `stream_members` whose session holds an advisory lock: a process that dies loses the lock with
its connection, so that the others see it at their next beat. One that hangs stops moving `seen_at`; the others then
end its session. A partition is read under an advisory lock of its own, so that two members never read the same one
at the same time. What is correct does not rest on any of this: positions move by compare-and-set.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import asyncpg

from tierwise.stream.postgres_append import Topic

CHANNEL = "tierwise_stream_groups"
"""Notified with the group's name when members or their locks change."""

BEAT_S = 1.0
EXPIRY_S = 10.0
"""A member that was not seen for so long hangs, or its machine is gone: its session is ended."""

# Locks taken with one 64-bit key have objsubid 1, the key's halves in classid and objid.
_LOCK_HELD = """
    l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32) | l.objid::bigint = m.lock
"""

_JOIN = 'INSERT INTO stream_members ("group", topic, lock) VALUES ($1, $2, $3) RETURNING id'
_BEAT = "UPDATE stream_members SET seen_at = now() WHERE id = $1 RETURNING id"
_MEMBERS = f"""
SELECT m.id, m.seen_at > now() - make_interval(secs => {EXPIRY_S}) AS seen,
    EXISTS (SELECT FROM pg_locks l WHERE {_LOCK_HELD}) AS connected
FROM stream_members m WHERE m."group" = $1 AND m.topic = $2 ORDER BY m.id
"""
_END_SESSION = f"""
SELECT pg_terminate_backend(l.pid) FROM stream_members m, pg_locks l WHERE m.id = $1 AND {_LOCK_HELD}
"""
_TOPIC = "SELECT number, id, name, partitions FROM stream_topics WHERE name = $1"
_CLUSTER = "SELECT id FROM stream_cluster"
_TRY_LOCKS = """
SELECT w.index FROM unnest($1::int[], $2::bigint[]) AS w (index, lock) WHERE pg_try_advisory_lock(w.lock)
"""
_UNLOCK = "SELECT pg_advisory_unlock(lock) FROM unnest($1::bigint[]) AS w (lock)"
# A machine that vanishes without a word keeps its locks until the server notices: within about 11 s.
_KEEPALIVE = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"


class MembershipLost(Exception):  # noqa: N818
    """This member was taken for dead, or its topic is another one now: everything is to be begun anew."""


@dataclass(frozen=True, slots=True)
class Membership:
    """One member of a group. Every call is given the connection of the session that joined."""

    group: str
    topic: Topic
    cluster: str
    id: int

    @classmethod
    async def join(cls, connection: asyncpg.Connection, group: str, topic_name: str) -> "Membership | None":
        """None when there is no such topic (yet)."""
        row = await connection.fetchrow(_TOPIC, topic_name)
        if row is None:
            return None
        topic = Topic(*row)
        await connection.execute(_KEEPALIVE)
        lock = secrets.randbits(63)
        await connection.execute("SELECT pg_advisory_lock($1)", lock)
        id_ = await connection.fetchval(_JOIN, group, topic.number, lock)
        member = cls(group, topic, await connection.fetchval(_CLUSTER), id_)
        await member.notify(connection)
        return member

    async def beat(self, connection: asyncpg.Connection) -> frozenset[int]:
        """Say that this member lives, bury the dead, and answer the partitions that are this member's to read.

        Raises MembershipLost.
        """
        topic = await connection.fetchrow(_TOPIC, self.topic.name)
        if topic is None or Topic(*topic) != self.topic or not await connection.fetchval(_BEAT, self.id):
            raise MembershipLost(f"{self.topic.name} or this member of {self.group} is not what it was")
        members = await connection.fetch(_MEMBERS, self.group, self.topic.number)
        living = [row["id"] for row in members if row["seen"] and row["connected"]]
        for row in members:
            if row["id"] not in living:
                await connection.fetch(_END_SESSION, row["id"])
                await connection.execute("DELETE FROM stream_members WHERE id = $1", row["id"])
        return frozenset(index for index in range(self.topic.partitions) if living[index % len(living)] == self.id)

    async def lock(self, connection: asyncpg.Connection, indexes: Sequence[int]) -> list[int]:
        """Take the partitions' locks; answers those that could be had now."""
        locks = [self._partition_lock(index) for index in indexes]
        return [row["index"] for row in await connection.fetch(_TRY_LOCKS, list(indexes), locks)]

    async def unlock(self, connection: asyncpg.Connection, indexes: Sequence[int]) -> None:
        await connection.execute(_UNLOCK, [self._partition_lock(index) for index in indexes])
        await self.notify(connection)

    async def leave(self, connection: asyncpg.Connection) -> None:
        await connection.execute("DELETE FROM stream_members WHERE id = $1", self.id)
        await connection.execute("SELECT pg_advisory_unlock_all()")
        await self.notify(connection)

    async def notify(self, connection: asyncpg.Connection) -> None:
        await connection.execute(f"SELECT pg_notify('{CHANNEL}', $1)", self.group)

    def _partition_lock(self, index: int) -> int:
        name = f"{self.group}/{self.topic.id}/{index}".encode()
        return int.from_bytes(blake2b(name, digest_size=8).digest(), signed=True)
