"""One listener: what they want to hear, and what waits to be sent to them."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tierwise_profile_api.live.position import Position
from tierwise_profile_api.reads import Row

WAITING_MAX: Final = 2_000
"""Events that wait for a client who is slow. The bytes of an event are shared by all who hear it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Empty: any. `aspects`: as published, `tag` for every tag."""

    aspects: frozenset[str] = frozenset()
    old: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()

    def takes(self, row: Row) -> bool:
        aspect = row["aspect"]
        return (
            (not self.aspects or aspect in self.aspects or aspect.partition(":")[0] in self.aspects)
            and (not self.old or row["old"] in self.old)
            and (not self.new or row["new"] in self.new)
        )


class Listener:
    """`customer`: None for all; `ids`: all that the person is known by."""

    def __init__(self, wanted: Wanted, customer: int | None = None, ids: Collection[int] = ()) -> None:
        self.wanted, self.customer, self.ids = wanted, customer, frozenset(ids)
        self.waiting: deque[tuple[Position, bytes]] = deque()
        self.ended: str | None = None
        self.stirred = asyncio.Event()
        self.lost = False

    def push(self, position: Position, frame: bytes) -> None:
        """Beyond WAITING_MAX nothing more is taken, and the listener has lost the thread."""
        if self.lost:
            return
        if len(self.waiting) >= WAITING_MAX:
            self.lost = True
            self.waiting.clear()
        else:
            self.waiting.append((position, frame))
        self.stirred.set()

    def end(self, reason: str) -> None:
        """What waits is still sent, then that it ends for this reason."""
        self.ended = self.ended or reason
        self.stirred.set()
