"""Answers that cost much, kept for a while with the moment that they are of."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from tierwise.problem import Unavailable

KEPT_MAX: Final = 200
QUICK_S: Final = 0.1
TIMES: Final = 30
"""What took 0.5 s is good for 15: statistics that are asked for all the time take a thirtieth of one processor."""

SLOW_S: Final = 0.25
OLD_S: Final = 300.0
"""What took longer than the one is given until the other, good or not, and made again for whoever comes next."""

log = structlog.get_logger("tierwise.snapshots")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`value` as of `at`. By the monotonic clock it is good until the one moment, and given until the other."""

    value: Any
    at: datetime
    good_until: float
    given_until: float

    @property
    def headers(self) -> dict[str, str]:
        """Age (RFC 9111): seconds."""
        return {"Age": str(int((datetime.now(UTC) - self.at).total_seconds()))}


class Snapshots:
    """What is quick is made for every request anew; the same thing is made once for all who ask at the same time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Snapshot] = OrderedDict()
        self._turns: dict[Hashable, asyncio.Lock] = {}
        self._renewing: dict[Hashable, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Snapshot:
        """Raises what `make` raises, where there is nothing to give meanwhile."""
        kept, now = self._kept.get(key), time.monotonic()
        if kept is None or now >= kept.given_until:
            return await self._made(key, make)
        if now >= kept.good_until and key not in self._renewing:
            self._renewing[key] = asyncio.create_task(self._renewed(key, make))
        return kept

    async def close(self) -> None:
        """What is being made again is left."""
        renewing = list(self._renewing.values())
        for task in renewing:
            task.cancel()
        await asyncio.gather(*renewing, return_exceptions=True)

    async def _renewed(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> None:
        try:
            await self._made(key, make)
        except Unavailable as error:
            log.warning("snapshot_waits", reason=error.detail)
        finally:
            del self._renewing[key]

    async def _made(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Snapshot:
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                kept = self._kept.get(key)
                return kept if kept and time.monotonic() < kept.good_until else await self._make(key, make)
        finally:
            if not turn.locked():
                self._turns.pop(key, None)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Snapshot:
        at, begun = datetime.now(UTC), time.monotonic()
        value = await make()
        ended = time.monotonic()
        took_s = ended - begun
        good_until = ended + TIMES * took_s
        given_until = max(good_until, begun + OLD_S) if took_s >= SLOW_S else good_until
        snapshot = Snapshot(value, at, good_until, given_until)
        self._kept.pop(key, None)
        if took_s >= QUICK_S:
            self._kept[key] = snapshot
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return snapshot
