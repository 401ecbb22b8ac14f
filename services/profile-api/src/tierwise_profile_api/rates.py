"""How fast a key may ask: a token bucket each, in requests, in the memory of this process."""

import math
import time
from collections.abc import Callable

from tierwise.problem import Problem
from tierwise.security.keys import Reader


class TooManyRequests(Problem):
    status, code, title = 429, "rate_limited", "This key asks more often than it may"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class Rates:
    """The buckets of all keys, full at first: what a key may do in a second, at once. A key without a limit has none;
    the browser tokens of a key share its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # by the key's id: tokens, and when there were so many

    def take(self, reader: Reader) -> None:
        """One request's worth. Raises TooManyRequests, which takes nothing."""
        rate = reader.rate_per_s
        if rate is None:
            return
        now, burst = self._clock(), max(1.0, rate)
        tokens, at_s = self._buckets.get(reader.id, (burst, now))
        tokens = min(burst, tokens + (now - at_s) * rate)
        if tokens < 1:
            raise TooManyRequests(
                f"{reader.name} may ask {rate:g} times a second.", retry_after_s=math.ceil((1 - tokens) / rate)
            )
        self._buckets[reader.id] = (tokens - 1, now)
