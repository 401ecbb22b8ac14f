"""Simulated traffic that is moved to the present repeats itself as traffic does: word for word."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from tierwise_embedded.simulate.arrange import as_if_now
from tierwise_embedded.simulate.traffic import simulate

START = datetime(2026, 11, 20, 2, tzinfo=UTC)


def live(count: int) -> list[dict[str, Any]]:
    return list(islice(as_if_now(simulate(400, 7, START, history_days=2), START), count))


def test_a_repeat_is_the_same_word_for_word_and_another_run_is_something_else() -> None:
    items = live(4_000)
    moved = {one["id"]: one for one in items if datetime.fromisoformat(one["time"]) > START}
    assert len(moved) < sum(one["id"] in moved for one in items)
    assert all(moved[one["id"]] == one for one in items if one["id"] in moved)
    again = {one["id"]: one for one in live(4_000)}
    kept = again.keys() & {one["id"] for one in items}
    assert kept.isdisjoint(moved)
    assert {one["id"]: one for one in items if one["id"] in kept} == {name: again[name] for name in kept}
