"""The simulated population is believable, and the same for the same seed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import pytest

from tierwise.domain.claim import Terms, read_claim
from tierwise.domain.source import BACKEND, Source
from tierwise_embedded.simulate.traffic import simulate

START = datetime(2026, 11, 20, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def history() -> list[dict[str, Any]]:
    """What 300 customers did in half a year, in order of arrival."""
    items = []
    for item in simulate(300, 7, START):
        if datetime.fromisoformat(item["time"]) >= START:
            break
        items.append(item)
    return items


def test_the_same_seed_and_start_give_the_same_traffic(history: list[dict[str, Any]]) -> None:
    assert list(islice(simulate(300, 7, START), len(history))) == history


def test_another_seed_gives_other_people(history: list[dict[str, Any]]) -> None:
    others = list(islice(simulate(300, 8, START), 500))
    values = {value for item in history for value in item["identifiers"].values()}
    assert values.isdisjoint(value for item in others for value in item["identifiers"].values())


def test_every_item_is_valid_in_the_native_form(history: list[dict[str, Any]]) -> None:
    terms = Terms(source=Source(id=1, name="demo", trust=BACKEND), received=START, new_id=lambda: "none")
    for item in history:
        assert read_claim(msgspec.json.encode(item), terms).recognisable


def test_items_repeat_and_come_late_and_out_of_order(history: list[dict[str, Any]]) -> None:
    ids = Counter(item["id"] for item in history)
    assert 0.005 < 1 - len(ids) / len(history) < 0.05
    times = [datetime.fromisoformat(item["time"]) for item in history]
    newest, late = times[0], 0
    for time in times:
        newest = max(newest, time)
        late += newest - time > timedelta(hours=1)
    assert 0.005 < late / len(times) < 0.08


def test_a_repeated_id_is_the_same_interaction_word_for_word(history: list[dict[str, Any]]) -> None:
    seen: dict[str, dict[str, Any]] = {}
    assert all(seen.setdefault(item["id"], item) == item for item in history)


def test_offices_keep_office_hours_and_shoppers_do_not(history: list[dict[str, Any]]) -> None:
    calls = [datetime.fromisoformat(item["time"]) for item in history if item["channel"] == "call"]
    assert calls
    assert all(call.weekday() < 5 and 9 <= call.hour < 18 for call in calls)
    web = [datetime.fromisoformat(item["time"]).hour for item in history if item["channel"] == "web"]
    assert sum(hour >= 18 for hour in web) > len(web) / 5


def test_strangers_become_known_by_forms_and_accounts(history: list[dict[str, Any]]) -> None:
    kinds = Counter(tuple(sorted(item["identifiers"])) for item in history)
    assert {("anonymous_id",), ("anonymous_id", "email"), ("anonymous_id", "email", "user_id")} <= set(kinds)
    assert ("crm_id", "email", "phone") in kinds


def test_there_are_buyers_and_leavers_of_both_languages(history: list[dict[str, Any]]) -> None:
    types = {(item["channel"], item["type"]) for item in history}
    assert {
        ("order", "purchase"), ("order", "refund"), ("quote", "accepted"), ("service", "complaint"),
        ("email", "unsubscribed"), ("survey", "answered"), ("call", "completed"), ("meeting", "held"),
    } <= types  # fmt: skip
    assert {item["attributes"]["language"] for item in history if "attributes" in item} == {"zh", "en"}


def test_traffic_goes_on_after_the_start() -> None:
    after = (item for item in simulate(50, 7, START) if datetime.fromisoformat(item["time"]) > START)
    assert len(list(islice(after, 1_000))) == 1_000


def test_a_population_may_be_empty() -> None:
    assert list(simulate(0, 1, START)) == []
