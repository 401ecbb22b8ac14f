"""How far behind a worker says it is: in records, and in seconds that are never fewer than the oldest one waits."""

from collections.abc import Mapping

from tierwise.stream.port import Partition
from tierwise_scoring.batch import Batch, Move
from tierwise_scoring.lag import Behind, Lag

P0, P1 = (Partition("cluster", "topic", "interactions", index) for index in (0, 1))


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def batch(moves: Mapping[Partition, tuple[int, int]], *, last_s: float = 0.0) -> Batch:
    return Batch(
        moves=[Move(partition, *move) for partition, move in moves.items()],
        arrived_ms={partition.index: (int(last_s * 1000),) * 2 for partition in moves},
    )


def test_records_that_are_read_and_not_stored_count_as_unscored() -> None:
    lag = Lag(Clock())
    read = batch({P0: (5, 12), P1: (0, 1)})
    lag.read(read)
    assert [one.records for one in lag.behind({P0: 3, P1: 0}).values()] == [10, 1]
    lag.ended(read)
    assert [one.records for one in lag.behind({P0: 3, P1: 0}).values()] == [3, 0]


def test_a_partition_without_unscored_records_is_not_behind_however_old_its_last_one_is() -> None:
    lag = Lag(Clock())
    lag.stored(batch({P0: (0, 1)}, last_s=10.0))
    assert lag.behind({P0: 0}) == {0: Behind(0, 0.0)}


def test_what_waits_came_after_the_last_moment_when_nothing_did() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.behind({P0: 0})
    clock.now_s += 7
    assert lag.behind({P0: 4}) == {0: Behind(4, 7.0)}


def test_what_waits_came_after_the_last_record_that_was_stored() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.behind({P0: 0})
    clock.now_s += 60
    lag.stored(batch({P0: (0, 9)}, last_s=clock.now_s - 20))
    assert lag.behind({P0: 4}) == {0: Behind(4, 20.0)}


def test_a_partition_that_is_stuck_from_the_start_falls_behind_from_then_on() -> None:
    clock = Clock()
    lag = Lag(clock)
    assert lag.behind({P0: 4}) == {0: Behind(4, 0.0)}
    clock.now_s += 90
    assert lag.behind({P0: 4}) == {0: Behind(4, 90.0)}


def test_a_partition_that_another_worker_has_is_forgotten() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.behind({P0: 4, P1: 4})
    clock.now_s += 90
    assert lag.behind({P1: 4}).keys() == {1}
    assert lag.behind({P0: 4})[0] == Behind(4, 0.0)
