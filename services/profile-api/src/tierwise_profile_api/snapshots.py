"""Answers that cost much, kept for a while with the moment that they are of."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

KEPT_MAX: Final = 200
QUICK_S: Final = 0.1
TIMES: Final = 30
"""What took 0.5 s is kept for 15: statistics that are asked for all the time take a thirtieth of one processor."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`value` as of `at`; `until`: it is kept till then, by the monotonic clock."""

    value: Any
    at: datetime
    until: float

    @property
    def headers(self) -> dict[str, str]:
        """Age (RFC 9111): seconds."""
        return {"Age": str(int((datetime.now(UTC) - self.at).total_seconds()))}


class Snapshots:
    """What is quick is made for every request anew; the same thing is made once for all who ask at the same time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Snapshot] = OrderedDict()
        self._turns: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Snapshot:
        """Raises what `make` raises."""
        if (kept := self._fresh(key)) is not None:
            return kept
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                return self._fresh(key) or await self._made(key, make)
        finally:
            if not turn.locked():
                self._turns.pop(key, None)

    async def _made(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Snapshot:
        at, begun = datetime.now(UTC), time.monotonic()
        value = await make()
        ended = time.monotonic()
        snapshot = Snapshot(value, at, ended + TIMES * (ended - begun))
        if ended - begun >= QUICK_S:
            self._kept[key] = snapshot
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return snapshot

    def _fresh(self, key: Hashable) -> Snapshot | None:
        kept = self._kept.get(key)
        return kept if kept is not None and time.monotonic() < kept.until else None
