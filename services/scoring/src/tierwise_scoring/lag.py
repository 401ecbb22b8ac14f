"""How far scoring is behind the stream, for each partition that a worker reads."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tierwise.stream.port import Partition
from tierwise_scoring.batch import Batch


class Behind(NamedTuple):
    """`records` are not scored yet, the oldest of them for `seconds` at most. Of a partition that was never seen
    without any, nor has had any scored, the seconds count from when it was first looked at."""

    records: int
    seconds: float


class Lag:
    """Told of every batch: `read`, then `stored` if it was, then `ended` in any case. `clock`: seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._under_way: Counter[int] = Counter()
        self._since_s: dict[int, float] = {}

    def read(self, batch: Batch) -> None:
        for partition, expected, following in batch.moves:
            self._under_way[partition.index] += following - expected

    def ended(self, batch: Batch) -> None:
        for partition, expected, following in batch.moves:
            self._under_way[partition.index] -= following - expected

    def stored(self, batch: Batch) -> None:
        """What is left in these partitions came after the last record of the batch."""
        for index, (_, last_ms) in batch.arrived_ms.items():
            self._since_s[index] = max(self._since_s.get(index, 0.0), last_ms / 1000)

    def behind(self, unread: Mapping[Partition, int]) -> dict[int, Behind]:
        """By partition. `unread`: records of the assigned partitions that were not read yet."""
        now_s = self._clock()
        found = {}
        for partition, count in unread.items():
            records = count + self._under_way[partition.index]
            since_s = now_s if records == 0 else self._since_s.get(partition.index, now_s)
            self._since_s[partition.index] = since_s
            found[partition.index] = Behind(records, max(0.0, now_s - since_s))
        self._since_s = {index: self._since_s[index] for index in found}
        return found
