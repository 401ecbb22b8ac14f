"""The relay: publishes what the outboxes hold (`changes`, `dead_letters`), in order, after it is committed.

It works in windows of transactions (`tierwise.db.outbox`), within which rows go out by id. That keeps the
order of a customer's changes: whoever wrote the later one took the customer's row lock after the earlier one was
committed, so its id is greater; and where its transaction lies in the window, the earlier one's does too.

A shard of customers is published under an advisory lock, so by one worker at a time. The cursor moves, by
compare-and-set, when the stream has acknowledged; a crash in between publishes again, which the event id reveals.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import asyncpg
import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise import tracing
from tierwise.db.engine import DATABASE_ERRORS, driver_connection, ended_when_hanging, is_transient
from tierwise.db.outbox import CHANNEL, POLL_RUNNING_S, POLL_S, SHARDS, oldest_running
from tierwise.stream.port import Outgoing, Stream, StreamUnavailable

log = structlog.get_logger()

_ROWS_MAX = 2_000
_LOCKS = 0x7469  # the class of our advisory locks
_RETRY_S = 1.0
_CAUSES_MAX = 128
_HANGS_AFTER_S = 30  # longer than an append may take before the stream is given up


def shard_of(customer_id: int) -> int:
    return customer_id % SHARDS


class Window(NamedTuple):
    """The transactions [start, end), published up to and with the row `last_id`."""

    start: int
    end: int
    last_id: int


class CursorTaken(Exception):  # noqa: N818
    """This worker's lock on a shard was lost with its connection, and another one has taken over."""


class Outbox(Protocol):
    """A table whose rows are published: `name` has columns id and xid, and shard if it has several `shards`."""

    name: str
    number: int
    shards: int

    async def records(
        self, connection: AsyncConnection, shard: int, window: Window, last_id: int, limit: int
    ) -> tuple[Sequence[tuple[str, Outgoing]], int | None]:
        """(topic, record) of the window's next rows up to `last_id`, in the order of their ids, and the id of the
        last row read; None when there was none."""


class Relay:
    """Publishes until it is cancelled; several may run, in one process or many. `published`: counts by topic."""

    def __init__(self, engine: AsyncEngine, stream: Stream, outboxes: Sequence[Outbox], published: Counter) -> None:
        self._engine, self._stream, self._outboxes, self._published = engine, stream, outboxes, published
        self._wake = asyncio.Event()
        self._causes: list[str] = []  # traceparents of batches that announced their rows

    async def run(self) -> None:
        """Goes on after outages of the database and the stream."""
        while True:
            try:
                async with self._engine.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    async with ended_when_hanging(await driver_connection(connection), _HANGS_AFTER_S):
                        await self._follow(connection)
            except (StreamUnavailable, CursorTaken) as error:
                log.warning("relay_waits", reason=str(error))
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("relay_waits", reason=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def drain(self, connection: AsyncConnection) -> bool:
        """Publish all that is committed. `connection`: in autocommit. Returns whether transactions are running
        whose rows are still to come."""
        running, heard = False, len(self._causes)
        for outbox in self._outboxes:
            for shard in range(outbox.shards):
                running |= await self._drain_shard(connection, outbox, shard)
        if not running:
            del self._causes[:heard]
        return running

    async def _follow(self, connection: AsyncConnection) -> None:
        raw = await driver_connection(connection)
        await raw.add_listener(CHANNEL, self._on_notify)
        # The cursor alone is written here: where a crash takes its last moves back, a stretch is published again.
        await raw.execute("SET synchronous_commit = off")
        try:
            while True:
                self._wake.clear()
                running = await self.drain(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_RUNNING_S if running else POLL_S):
                        await self._wake.wait()
        finally:
            if not raw.is_closed():
                await raw.execute("RESET synchronous_commit")
                await raw.remove_listener(CHANNEL, self._on_notify)

    def _on_notify(self, _connection: object, _pid: int, _channel: str, traceparent: str) -> None:
        if traceparent and len(self._causes) < _CAUSES_MAX:
            self._causes.append(traceparent)
        self._wake.set()

    async def _drain_shard(self, connection: AsyncConnection, outbox: Outbox, shard: int) -> bool:
        raw = await driver_connection(connection)
        lock = outbox.number * 1_000 + shard
        if not await raw.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCKS, lock):
            return False  # another worker is at it
        try:
            return await self._drain_locked(connection, outbox, shard)
        finally:
            if not raw.is_closed():
                await raw.execute("SELECT pg_advisory_unlock($1, $2)", _LOCKS, lock)

    async def _drain_locked(self, connection: AsyncConnection, outbox: Outbox, shard: int) -> bool:
        raw = await driver_connection(connection)
        cursors = _Cursors(raw, outbox, shard)
        window = await cursors.read()
        rows = await cursors.bounds(window)  # of a window that was interrupted
        while True:
            if rows is not None:
                window = await self._publish(connection, cursors, window, rows)
            oldest, running = await oldest_running(raw)
            following = Window(window.end, oldest, 0)
            rows = await cursors.bounds(following) if oldest > window.end else None
            if rows is None:
                return running  # the cursor stays where it is: an idle relay writes nothing
            await cursors.move(window, following)
            window = following

    async def _publish(
        self, connection: AsyncConnection, cursors: "_Cursors", window: Window, rows: tuple[int, int]
    ) -> Window:
        """Publish the window's rows that lie within `rows` (first and last id)."""
        first, last = rows
        read: int | None = first - 1
        while read is not None:
            records, read = await cursors.outbox.records(
                connection, cursors.shard, window._replace(last_id=max(window.last_id, first - 1)), last, _ROWS_MAX
            )
            with tracing.span("relay.publish", links=self._causes):
                await self._append(records)
            if read is not None:
                following = window._replace(last_id=read)
                await cursors.move(window, following)
                window = following
        return window

    async def _append(self, records: Sequence[tuple[str, Outgoing]]) -> None:
        """Topics at once: there is no order between them, and each append waits for a flush to disk. All have ended
        when one has failed, so that nothing of this is still under way when it is repeated."""
        by_topic: defaultdict[str, list[Outgoing]] = defaultdict(list)
        for topic, record in records:
            by_topic[topic].append(record)
        appends = (self._stream.append(topic, those) for topic, those in by_topic.items())
        for error in await asyncio.gather(*appends, return_exceptions=True):
            if error is not None:
                raise error
        for topic, those in by_topic.items():
            self._published.labels(topic).inc(len(those))


class _Cursors:
    """The stored cursor of one shard of an outbox, and its rows in a window."""

    def __init__(self, raw: asyncpg.Connection, outbox: Outbox, shard: int) -> None:
        self._raw, self.outbox, self.shard = raw, outbox, shard
        self._shard_is = "shard = $1" if outbox.shards > 1 else "$1 = 0"

    async def read(self) -> Window:
        """A shard without one starts before everything."""
        query = "SELECT window_from::text, window_to::text, last_id FROM relay_cursors WHERE outbox = $1 AND shard = $2"
        row = await self._raw.fetchrow(query, self.outbox.name, self.shard)
        if row is None:
            await self._raw.execute(
                """INSERT INTO relay_cursors (outbox, shard, window_from, window_to, last_id)
                   VALUES ($1, $2, '0', '0', 0)""",
                self.outbox.name,
                self.shard,
            )
            return Window(0, 0, 0)
        return Window(int(row[0]), int(row[1]), row[2])

    async def bounds(self, window: Window) -> tuple[int, int] | None:
        """The first and last id of the window's rows that are not published yet."""
        # Materialized: else min(id) may walk the whole table in the order of ids.
        row = await self._raw.fetchrow(
            f"""WITH found AS MATERIALIZED (
                    SELECT id FROM {self.outbox.name}
                    WHERE {self._shard_is} AND xid >= $2::text::xid8 AND xid < $3::text::xid8 AND id > $4)
                SELECT min(id), max(id) FROM found""",
            self.shard,
            str(window.start),
            str(window.end),
            window.last_id,
        )
        return None if row[0] is None else (row[0], row[1])

    async def move(self, expected: Window, to: Window) -> None:
        """Raises CursorTaken."""
        moved = await self._raw.fetchval(
            """UPDATE relay_cursors SET window_from = $6::text::xid8, window_to = $7::text::xid8, last_id = $8
               WHERE outbox = $1 AND shard = $2 AND window_from = $3::text::xid8 AND window_to = $4::text::xid8
                 AND last_id = $5
               RETURNING true""",
            self.outbox.name,
            self.shard,
            *(str(expected.start), str(expected.end), expected.last_id),
            *(str(to.start), str(to.end), to.last_id),
        )
        if not moved:
            raise CursorTaken(f"another relay has moved the cursor of {self.outbox.name}[{self.shard}]")
