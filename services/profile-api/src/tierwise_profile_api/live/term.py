"""How long somebody may listen: as long as their key or token is good, and an hour at most."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

EXPIRED: Final = "expired"
REVOKED: Final = "revoked"
RENEW: Final = "renew"


@dataclass(frozen=True, slots=True)
class Permit:
    """`ends_s`: seconds since 1970, None where it does not end by itself. `holds`: whether it was not revoked."""

    ends_s: float | None
    holds: Callable[[], Awaitable[bool]]


class Term:
    """Of one connection. `life_s`: at most; `every_s`: how often the permit is looked at."""

    def __init__(self, permit: Permit, *, life_s: float, every_s: float) -> None:
        self._permit, self._every_s, self._clock = permit, every_s, asyncio.get_running_loop().time
        now = self._clock()
        ends = [(now + life_s * random.uniform(0.9, 1), RENEW)]  # noqa: S311  (so that not all come back at once)
        if permit.ends_s is not None:
            ends.append((now + permit.ends_s - time.time(), EXPIRED))
        self._ends_at, self._reason = min(ends)
        self._look_at = now + every_s

    @property
    def left_s(self) -> float:
        return max(self._ends_at - self._clock(), 0.0)

    async def over(self) -> str | None:
        """Why it is; None: it goes on."""
        now = self._clock()
        if now >= self._ends_at:
            return self._reason
        if now >= self._look_at:
            self._look_at = now + self._every_s
            if not await self._permit.holds():
                return REVOKED
        return None
