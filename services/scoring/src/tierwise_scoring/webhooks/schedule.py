"""When a delivery is tried again, and when no more."""

import random
from datetime import datetime, timedelta
from typing import Final

RETRIES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""After the first attempt, the second and so on: three and a half days in all."""

_JITTER: Final = 0.2
RETRY_AFTER_MAX: Final = timedelta(hours=24)


def next_attempt(
    made: int, now: datetime, draw: random.Random, retry_after: timedelta | None = None
) -> datetime | None:
    """`made`: attempts so far, at least one. `retry_after`: what the endpoint asked for. None: it was the last one."""
    if made > len(RETRIES):
        return None
    pause = RETRIES[made - 1] * draw.uniform(1, 1 + _JITTER)  # so that what failed together does not come back together
    return now + max(pause, min(retry_after or timedelta(0), RETRY_AFTER_MAX))
