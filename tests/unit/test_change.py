"""What changed from one classification to the next, why, and how it is published."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tierwise.domain.change import Changes, StoredChange, differences, event_id, published, reasons_of, rfc3339
from tierwise.domain.classify import Classifications
from tierwise.domain.customer_id import public_id
from tierwise.domain.rulebook.load import load

RULEBOOK = load((Path(__file__).parents[1] / "support" / "small.yaml").read_text(encoding="utf-8"))
POINT = 1_000 << 16
ALICE = 7


def results(*rows: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.void]]:
    made = np.zeros(len(rows), RULEBOOK.result)
    for index, row in enumerate(rows):
        for name, value in row.items():
            made[name][index] = value
    return made


def changes(
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    *,
    known: list[bool] | None = None,
    parts: list[list[int]] | None = None,
) -> dict[str, Changes]:
    """By aspect, those that are any. `parts`: by customer, of view and of decides."""
    columns = np.array(parts or [[0, 0]] * len(after), np.int64).T
    found = differences(
        results(*before),
        np.array(known or [True] * len(after), np.bool_),
        Classifications(results(*after), columns),
        RULEBOOK,
    )
    return {change.aspect: change for change in found if len(change.customer)}


CALM: dict[str, Any] = {"tier": 2, "level": 0, "stage": 1}


def test_nothing_changes_where_nothing_differs() -> None:
    assert changes([CALM], [CALM | {"score": 500, "tier_score": 99, "points": 5}]) == {}


def test_a_new_customer_changes_from_nothing_in_every_aspect_and_in_the_tags_that_it_has() -> None:
    found = changes([{}, {}], [CALM, CALM | {"tags": [1]}], known=[False, False])
    assert {aspect: (change.customer.tolist(), change.old, change.new) for aspect, change in found.items()} == {
        "tier": ([0, 1], [None, None], ["C", "C"]),
        "intent": ([0, 1], [None, None], ["low", "low"]),
        "lifecycle": ([0, 1], [None, None], ["prospect", "prospect"]),
        "tag:behaviour.browsing": ([1], [None], ["often"]),
    }


def test_each_aspect_names_only_the_customers_that_moved_in_it() -> None:
    before = [CALM, CALM, CALM, CALM | {"tags": [1]}]
    after = [CALM | {"tier": 0, "tier_score": 6755}, CALM, CALM | {"level": 2, "score": 701}, CALM]
    found = changes(before, after)
    assert found.keys() == {"tier", "intent", "tag:behaviour.browsing"}
    tier, intent, tag = found["tier"], found["intent"], found["tag:behaviour.browsing"]
    assert (tier.customer.tolist(), tier.old, tier.new, tier.score) == ([0], ["C"], ["A"], [676])
    assert (intent.customer.tolist(), intent.old, intent.new, intent.score) == ([2], ["low"], ["high"], [701])
    assert (tag.customer.tolist(), tag.old, tag.new, tag.score) == ([3], ["often"], [None], [None])


def test_the_reasons_of_a_tier_are_its_weighted_dimensions_largest_first() -> None:
    found = changes([CALM], [CALM | {"tier": 1, "dimensions": [500, 805]}])["tier"]
    assert reasons_of("tier", found.reasons[0], RULEBOOK) == [
        {"part": "potential", "points": 32.2, "en": "Potential", "zh": "潜力"},
        {"part": "value", "points": 30.0, "en": "Value", "zh": "价值"},
    ]


def test_the_reasons_of_a_level_are_its_points_largest_first_whatever_their_sign() -> None:
    found = changes([CALM], [CALM | {"level": 1}], parts=[[3 * POINT, -8 * POINT]])["intent"]
    assert [(reason["part"], reason["points"]) for reason in reasons_of("intent", found.reasons[0], RULEBOOK)] == [
        ("decides", -8.0),
        ("view", 3.0),
    ]


def test_parts_of_nothing_are_no_reasons_and_a_stage_has_none() -> None:
    found = changes([CALM], [CALM | {"level": 1, "stage": 0}], parts=[[POINT, 0]])
    assert [reason["part"] for reason in reasons_of("intent", found["intent"].reasons[0], RULEBOOK)] == ["view"]
    assert reasons_of("lifecycle", found["lifecycle"].reasons[0], RULEBOOK) == []


@proof
@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
def test_a_reason_is_never_said_with_the_wrong_sign(view: int, decides: int) -> None:
    found = changes([CALM], [CALM | {"level": 1}], parts=[[view, decides]])["intent"]
    given_parts = {"view": view, "decides": decides}
    for reason in reasons_of("intent", found.reasons[0], RULEBOOK):
        assert (reason["points"] > 0) == (given_parts[reason["part"]] > 0)


def stored(**fields: Any) -> StoredChange:
    given_fields = {
        "customer_id": ALICE, "sequence": 19, "aspect": "tier", "old": "C", "new": "B", "score": 675, "merged": None,
        "at": datetime(2026, 11, 20, 8, tzinfo=UTC), "recorded_at": datetime(2026, 11, 20, 8, tzinfo=UTC),
        "rulebook_id": 1, "cuts": None, "cause": "interaction", "interaction": "ord-1042", "source": "shop",
        "reasons": b"",
    }  # fmt: skip
    return StoredChange(**{**given_fields, **fields})


def test_a_change_is_published_with_what_it_was_what_it_is_and_why() -> None:
    [reasons] = changes([CALM], [CALM | {"tier": 1, "dimensions": [500, 0]}])["tier"].reasons
    assert published(stored(reasons=reasons), RULEBOOK) == {
        "customer_id": public_id(ALICE),
        "sequence": 19,
        "aspect": "tier",
        "from": "C",
        "to": "B",
        "at": "2026-11-20T08:00:00Z",
        "score": 67.5,
        "rulebook": "small",
        "cuts": None,
        "cause": {"kind": "interaction", "interaction": "ord-1042", "source": "shop"},
        "reasons": [{"part": "value", "points": 30.0, "en": "Value", "zh": "价值"}],
    }


def test_a_change_by_time_names_no_interaction_and_a_stage_no_score() -> None:
    found = published(
        stored(aspect="lifecycle", score=None, cause="time", interaction=None, source=None, old=None), RULEBOOK
    )
    assert (found["from"], found["score"], found["cause"], found["reasons"]) == (None, None, {"kind": "time"}, [])


def test_a_merge_is_published_with_the_customer_that_is_no_more() -> None:
    found = published(stored(aspect="merge", merged=8, old=None, new=None, score=None), RULEBOOK)
    assert found == {
        "customer_id": public_id(ALICE),
        "sequence": 19,
        "merged": [public_id(8)],
        "at": "2026-11-20T08:00:00Z",
        "by": {"kind": "interaction", "interaction": "ord-1042", "source": "shop"},
    }


def test_an_event_is_known_by_its_customer_and_sequence() -> None:
    assert event_id(stored()) == f"{public_id(ALICE)}:19"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-11-20T09:30:00+08:00", "2026-11-20T01:30:00Z"),
        ("2026-11-20T01:30:00.250000+00:00", "2026-11-20T01:30:00.250000Z"),
    ],
)
def test_times_are_sent_in_utc(moment: str, text: str) -> None:
    assert rfc3339(datetime.fromisoformat(moment)) == text
