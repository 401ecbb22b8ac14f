"""Sends changes to subscriptions: one process of all that score, under an advisory lock, with a courier for each
subscription. Another one takes over when its connection ends; what it was sending then is sent again, with the same id.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final, NamedTuple

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, ended_when_hanging, is_transient
from tierwise.db.outbox import CHANNEL, POLL_RUNNING_S, POLL_S, SHARDS, oldest_running
from tierwise_scoring.webhooks.courier import Courier, Post

log = structlog.get_logger()

_LOCK: Final = 0x776562686F6F6B73  # 'webhooks', of pg_try_advisory_lock
_STAND_BY_S: Final = 2.0
_HANGS_AFTER_S: Final = 30  # who leads looks every second
_FORGET_EVERY_S: Final = 60.0
_FORGET_MAX: Final = 10_000
_SHARDS: Final = f"ARRAY[{', '.join(map(str, range(SHARDS)))}]::smallint[]"

_SUBSCRIPTIONS: Final = """
SELECT s.id, s.enabled, count(d.id) AS waiting,
       EXISTS (SELECT FROM subscription_replays WHERE subscription_id = s.id) AS again,
       coalesce(bool_or(
           d.due <= now() AND (d.kind = 'test' OR s.enabled AND coalesce(s.paused_until <= now(), true))
       ), false) AS due
FROM subscriptions AS s LEFT JOIN deliveries AS d ON d.subscription_id = s.id AND d.state = 'pending'
GROUP BY s.id
"""

# $1 the first transaction not seen, $2 the oldest one running.
_NEWS: Final = f"""
SELECT EXISTS (
    SELECT FROM changes WHERE shard = ANY ({_SHARDS}) AND xid >= $1::text::xid8 AND xid < $2::text::xid8)
"""

# $1 how old, $2 how many.
_FORGET: Final = """
DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE finished_at < now() - $1::interval LIMIT $2)
"""


class _Employed(NamedTuple):
    courier: Courier
    task: asyncio.Task[None]


class Dispatcher:
    """`keep`: how long the log keeps what was delivered or given up."""

    def __init__(self, post: Post, *, engine: AsyncEngine, keep: timedelta) -> None:
        self._post, self._engine, self._keep = post, engine, keep
        self._employed: dict[str, _Employed] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; goes on after outages of the database."""
        while True:
            try:
                async with self._engine.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    raw = await driver_connection(connection)
                    if await raw.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                        async with ended_when_hanging(raw, _HANGS_AFTER_S):
                            await self._lead(raw)
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("webhooks_wait", reason=type(error).__name__)
            await asyncio.sleep(_STAND_BY_S)

    async def _lead(self, raw: asyncpg.Connection) -> None:
        await raw.add_listener(CHANNEL, self._on_notify)
        clock = asyncio.get_running_loop().time
        try:
            seen, tend_at, forget_at = 0, 0.0, 0.0
            while True:
                self._wake.clear()
                if clock() >= tend_at:
                    await self._tend(raw)
                    tend_at = clock() + POLL_S
                if clock() >= forget_at:
                    await raw.execute(_FORGET, self._keep, _FORGET_MAX)
                    forget_at = clock() + _FORGET_EVERY_S
                oldest, running = await oldest_running(raw)
                if await raw.fetchval(_NEWS, str(seen), str(oldest)):
                    for one in self._employed.values():
                        one.courier.wake.set()
                seen = oldest
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_RUNNING_S if running else POLL_S):
                        await self._wake.wait()
        finally:
            await self._dismiss(*self._employed)
            if not raw.is_closed():
                await raw.remove_listener(CHANNEL, self._on_notify)
                await raw.execute("SELECT pg_advisory_unlock($1)", _LOCK)

    async def _tend(self, raw: asyncpg.Connection) -> None:
        """A courier for each subscription, woken where there is something to do that no change announces."""
        rows = await raw.fetch(_SUBSCRIPTIONS)
        await self._employ({row["id"] for row in rows})
        for row in rows:
            self._post.metrics.backlog.labels(row["id"]).set(row["waiting"])
            courier = self._employed[row["id"]].courier
            if row["due"] or row["again"] or (row["enabled"] and not courier.enabled):
                courier.wake.set()

    async def _employ(self, names: set[str]) -> None:
        await self._dismiss(*(self._employed.keys() - names))
        for one in self._employed.values():
            if one.task.done():
                one.task.result()  # raises why: it ends in no other way
        for name in names - self._employed.keys():
            courier = Courier(self._post, name)
            task = asyncio.create_task(courier.run(), name=f"webhook-{name}")
            self._employed[name] = _Employed(courier, task)

    async def _dismiss(self, *names: str) -> None:
        tasks = [self._employed.pop(name).task for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in names:
            with suppress(KeyError):
                self._post.metrics.backlog.remove(name)

    def _on_notify(self, *_: object) -> None:
        self._wake.set()
