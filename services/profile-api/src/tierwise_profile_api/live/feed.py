"""The feed of a process: follows the table of changes while anybody listens, and hands each change to those who want
it. A NOTIFY wakes it, then one query reads for all."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import structlog

from tierwise.db.engine import driver_connection
from tierwise.db.outbox import CHANNEL, POLL_RUNNING_S, POLL_S
from tierwise.domain.change import encoded
from tierwise.opening import AWAY
from tierwise.problem import Unavailable
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.live import backlog
from tierwise_profile_api.live.listener import Listener
from tierwise_profile_api.live.position import Position
from tierwise_profile_api.reads import Row

log = structlog.get_logger("tierwise.live")

_RETRY_S: Final = 1.0
_LINGER_S: Final = 10.0  # without listeners: a page that is loaded again finds the feed running


async def frame_of(row: Row, position: Position, source: Backend) -> bytes:
    """The event of a row. Raises Unavailable."""
    change = backlog.change_of(row)
    data = encoded(change, await source.rulebook(change.rulebook_id))
    return b"id: %s\ndata: %s\n\n" % (str(position).encode(), data)


class Feed:
    """`backend`: raises Unavailable while the database is away."""

    def __init__(self, backend: Callable[[], Backend]) -> None:
        self._backend = backend
        self._everybody: set[Listener] = set()
        self._of_all: set[Listener] = set()
        self._of_customer: defaultdict[int, set[Listener]] = defaultdict(set)
        self._position: Position | None = None
        self._persons_moved, self._asking = 0, 0
        self._wanted, self._wake, self._known = asyncio.Event(), asyncio.Event(), asyncio.Condition()
        self._closed = self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="live-feed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)  # what it raised is logged

    def close(self) -> None:
        """The process stops: everybody is told, and who comes now hears it at once."""
        self._closed = True
        for listener in self._everybody:
            listener.end("restart")

    @property
    def position(self) -> Position | None:
        """Up to here everything was handed on; None while nobody listens."""
        return self._position

    async def reached(self, transaction: int = 0) -> Position:
        """Where the feed stands, once all before this transaction was handed on. It starts following if need be.
        Raises Unavailable where it has failed."""
        self._asking += 1
        self._wanted.set()
        self._wake.set()
        try:
            async with self._known:
                await self._known.wait_for(lambda: self._ended or self._stands_at(transaction))
        finally:
            self._asking -= 1
        if self._position is None or self._ended:
            raise Unavailable("This process tells no changes any more.", retry_after_s=5)
        return self._position

    def _stands_at(self, transaction: int) -> bool:
        return self._position is not None and self._position.start >= transaction

    def enter(self, listener: Listener) -> None:
        """Keeps the feed going, and is told when it closes."""
        self._everybody.add(listener)
        if self._closed:
            listener.end("restart")

    def join(self, listener: Listener, moved: int) -> Position | None:
        """From the position given on the listener is handed every change. None where customers were merged since
        `persons_moved` said `moved`, or the feed stands still: look up the ids of the person again."""
        if moved != self._persons_moved or self._position is None:
            return None
        self._attend(listener)
        return self._position

    def leave(self, listener: Listener) -> None:
        self._everybody.discard(listener)
        self._ignore(listener)

    @property
    def persons_moved(self) -> int:
        """How often customers were merged or split, as far as the feed has come."""
        return self._persons_moved

    async def _run(self) -> None:
        try:
            while True:
                await self._wanted.wait()
                try:
                    await self._follow()
                except AWAY as error:
                    log.warning("live_waits", reason=type(error).__name__)
                    await asyncio.sleep(_RETRY_S)
        except Exception:
            log.exception("live_failed")
            raise
        finally:
            self._ended = True
            self.close()
            async with self._known:
                self._known.notify_all()

    async def _follow(self) -> None:
        """While anybody listens. A feed that was interrupted goes on from where it stood."""
        source = self._backend()
        async with source.engine.connect() as connection:
            raw = await driver_connection(await connection.execution_options(isolation_level="AUTOCOMMIT"))
            await raw.add_listener(CHANNEL, self._on_notify)
            try:
                if self._position is None:
                    await self._stand(await backlog.now(source.reads))
                idle_s = 0.0
                while idle_s < _LINGER_S:
                    self._wake.clear()
                    pause_s = await self._advance(source)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):  # wait_for of Python 3.11 may lose a cancellation
                            await self._wake.wait()
                    idle_s = 0.0 if self._everybody or self._asking else idle_s + pause_s
                self._wanted.clear()
                self._position = None
            finally:
                if not raw.is_closed():
                    await raw.remove_listener(CHANNEL, self._on_notify)

    async def _advance(self, source: Backend) -> float:
        """Hand on the next rows; how long to wait then, in seconds."""
        at = self._position
        assert at is not None  # noqa: S101
        running = True
        if at.start < at.end:
            rows = await backlog.page(source.reads, at)
        else:
            at, running, rows = await backlog.following(source.reads, at)
        self._persons_moved += any(row["merged"] is not None for row in rows)  # before others can look them up
        events = [(one := at._replace(last_id=row["id"]), row, await frame_of(row, one, source)) for row in rows]
        moved = await self._persons(rows, source)
        for listener, ids in moved.items():
            self._ignore(listener)
            listener.ids = ids
            self._attend(listener)
        for position, row, frame in events:
            for listener in self._concerned(row):
                if listener.wanted.takes(row):
                    listener.push(position, frame)
        whole = len(rows) < backlog.PAGE
        await self._stand(Position.after(at.end) if whole else events[-1][0])
        return (POLL_RUNNING_S if running else POLL_S) if whole else 0.0

    async def _stand(self, position: Position) -> None:
        self._position = position
        async with self._known:
            self._known.notify_all()

    async def _persons(self, rows: Sequence[Row], source: Backend) -> dict[Listener, frozenset[int]]:
        """The new ids of those whose person was merged or split."""
        moved = {number for row in rows if row["merged"] is not None for number in backlog.concerned(row)}
        listeners = {listener for number in moved for listener in self._of_customer.get(number, ())}
        if not listeners:
            return {}
        found = await backlog.persons(source.reads, {one.customer for one in listeners if one.customer is not None})
        return {one: found[one.customer] for one in listeners if one.customer in found}

    def _concerned(self, row: Row) -> Iterable[Listener]:
        found = set(self._of_all)
        for number in backlog.concerned(row):
            found |= self._of_customer.get(number, set())
        return found

    def _attend(self, listener: Listener) -> None:
        if listener.customer is None:
            self._of_all.add(listener)
        for number in listener.ids:
            self._of_customer[number].add(listener)

    def _ignore(self, listener: Listener) -> None:
        self._of_all.discard(listener)
        for number in listener.ids:
            self._of_customer[number].discard(listener)
            if not self._of_customer[number]:
                del self._of_customer[number]

    def _on_notify(self, *_: Any) -> None:
        self._wake.set()
