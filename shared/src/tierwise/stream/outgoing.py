"""What an append does first, whatever the stream: check the sizes, sort by partition."""

from collections import defaultdict
from collections.abc import Sequence

from tierwise.stream.partitioner import partitions_of
from tierwise.stream.port import RECORD_BYTES_MAX, Outgoing, RecordTooLarge


def size_of(record: Outgoing) -> int:
    """Of key, value and headers, in bytes."""
    size = len(record.key) + len(record.value)
    for name, value in record.headers:
        size += len(name.encode()) + len(value)
    return size


def checked_size(records: Sequence[Outgoing]) -> int:
    """Of all records, in bytes. Raises RecordTooLarge for the first one over RECORD_BYTES_MAX."""
    total = 0
    for index, record in enumerate(records):
        size = size_of(record)
        if size > RECORD_BYTES_MAX:
            raise RecordTooLarge(index, size)
        total += size
    return total


def by_partition(records: Sequence[Outgoing], count: int) -> dict[int, list[Outgoing]]:
    """The records of each partition, 0 to count - 1, in their order. Raises ValueError for another partition."""
    indexes = partitions_of([record.key for record in records], count)
    grouped: defaultdict[int, list[Outgoing]] = defaultdict(list)
    for record, index in zip(records, indexes, strict=True):
        grouped[index if record.partition is None else record.partition].append(record)
    if min(grouped, default=0) < 0 or max(grouped, default=0) >= count:
        raise ValueError(f"partitions are 0 to {count - 1}, not {sorted(grouped)}")
    return dict(grouped)
