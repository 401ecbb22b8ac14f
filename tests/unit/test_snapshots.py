"""Answers that are kept: for how long, and what is given while they are made again."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tierwise.problem import Unavailable
from tierwise_profile_api import snapshots
from tierwise_profile_api.snapshots import Snapshots


class Counted:
    """Takes a while, and answers how often it was asked."""

    def __init__(self, *, takes_s: float) -> None:
        self.takes_s, self.times, self.away = takes_s, 0, False

    async def __call__(self) -> int:
        await asyncio.sleep(self.takes_s)
        if self.away:
            raise Unavailable("The database is away.")
        self.times += 1
        return self.times


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes 20 ms is kept, and good for 20 ms more."""
    monkeypatch.setattr(snapshots, "QUICK_S", 0.02)
    monkeypatch.setattr(snapshots, "SLOW_S", 0.02)
    monkeypatch.setattr(snapshots, "TIMES", 1)


async def test_what_is_quick_is_always_made_anew() -> None:
    kept, quick = Snapshots(), Counted(takes_s=0)
    assert [(await kept.get("a", quick)).value for _ in range(3)] == [1, 2, 3]


async def test_who_ask_at_the_same_time_get_the_same() -> None:
    kept, slow = Snapshots(), Counted(takes_s=0.03)
    found = await asyncio.gather(*(kept.get("a", slow) for _ in range(5)))
    assert [one.value for one in found] == [1] * 5


async def test_what_is_not_good_any_more_is_given_with_its_age_while_it_is_made_again() -> None:
    kept, slow = Snapshots(), Counted(takes_s=0.03)
    first = await kept.get("a", slow)
    await asyncio.sleep(0.05)
    asked = datetime.now(UTC)
    again = [await kept.get("a", slow) for _ in range(3)]
    assert datetime.now(UTC) - asked < timedelta(seconds=0.02)
    assert again == [first] * 3
    await asyncio.sleep(0.04)
    assert (await kept.get("a", slow)).value == 2
    await kept.close()


async def test_what_is_no_great_wait_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SLOW_S", 1.0)
    kept, slow = Snapshots(), Counted(takes_s=0.03)
    assert (await kept.get("a", slow)).value == 1
    await asyncio.sleep(0.05)
    assert (await kept.get("a", slow)).value == 2


async def test_what_is_too_old_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "OLD_S", 0.0)
    kept, slow = Snapshots(), Counted(takes_s=0.03)
    await kept.get("a", slow)
    await asyncio.sleep(0.05)
    assert (await kept.get("a", slow)).value == 2


async def test_an_outage_is_not_noticed_as_long_as_there_is_something_to_give() -> None:
    kept, slow = Snapshots(), Counted(takes_s=0.03)
    await kept.get("a", slow)
    slow.away = True
    await asyncio.sleep(0.05)
    assert (await kept.get("a", slow)).value == 1
    await asyncio.sleep(0.05)
    slow.away = False
    assert (await kept.get("a", slow)).value == 1
    await asyncio.sleep(0.05)
    assert (await kept.get("a", slow)).value == 2
    slow.away = True
    with pytest.raises(Unavailable):
        await kept.get("b", slow)
    await kept.close()
