"""How fast a source may send: a token bucket each, in interactions, in the memory of this process."""

import math

from tierwise.domain.source import Source
from tierwise.problem import Problem


class TooManyRequests(Problem):
    status, code, title = 429, "rate_limited", "This source sends faster than it may"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class Rates:
    """The buckets of all sources, full at first. A source without a limit has none."""

    def __init__(self) -> None:
        self._buckets: dict[int, tuple[float, float]] = {}  # by the source's id: tokens, and when there were so many

    def take(self, source: Source, n: int, now_s: float) -> None:
        """Take `n` interactions' worth; `now_s` is of a clock that never goes back. What is larger than the whole
        bucket passes when that is full, and is paid off afterwards. Raises TooManyRequests, which takes nothing."""
        limit = source.intake.rate_limit
        if limit is None or n == 0:
            return
        tokens, at_s = self._buckets.get(source.id, (limit.burst, now_s))
        tokens = min(limit.burst, tokens + (now_s - at_s) * limit.per_second)
        missing = min(n, limit.burst) - tokens
        if missing > 0:
            raise TooManyRequests(
                f"{source.name} may send {limit.per_second:g} a second and {limit.burst:,} at once; nothing was taken.",
                retry_after_s=math.ceil(missing / limit.per_second),
            )
        self._buckets[source.id] = (tokens - n, now_s)
