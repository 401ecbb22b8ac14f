"""The kernel's invariants, beyond what comparing it with the reference shows."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories import random_history
from tests.support.kernel import attributes_of_all, classify_all, distinct, fold_all, read
from tests.support.proof import proof
from tests.support.random_rulebooks import random_rulebook
from tests.support.reference import POINT, reference
from tests.support.rows import ledgers_of, rows_of
from tierwise.domain import ledger
from tierwise.domain.classify import OVERRIDES, attribute_columns, classify
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ledgers
from tierwise.domain.override import next_expiry
from tierwise.domain.review import NEVER, next_review
from tierwise.domain.rulebook import Rulebook, RulebookError
from tierwise.domain.rulebook.load import default_text, load

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL = (Path(__file__).parents[1] / "support" / "small.yaml").read_text(encoding="utf-8")

seeds = st.integers(0, 10**6)


@cache
def default_rulebook() -> Rulebook:
    return load(default_text())


@cache
def some_rulebook(number: int) -> Rulebook:
    return load(random_rulebook(Random(number), "Europe/Berlin"))


def histories_of(seed: int, rulebook: Rulebook, count: int = 12) -> list[list[Interaction]]:
    random = Random(seed)
    return [distinct(random_history(random, NOW, rulebook.days.zone)) for _ in range(count)]


def view(days_ago: float, **properties: Any) -> Interaction:
    time = NOW - timedelta(days=days_ago)
    return Interaction(
        id=str(days_ago), source="site", time=time, received=time, channel="web", type="page_view",
        identifiers={"user_id": "u"}, properties={"path": "/", **properties},
    )  # fmt: skip


def views(*days_ago: int) -> list[Interaction]:
    return [view(day + index / 10_000) for index, day in enumerate(days_ago)]


def classified(history: list[Interaction], rulebook: Rulebook, now: datetime = NOW) -> Any:
    return classify_all([history], now, rulebook).result[0]


@proof
@given(seeds, st.integers(0, 7))
def test_a_customer_gets_the_same_bytes_alone_and_among_others(seed: int, number: int) -> None:
    rulebook = some_rulebook(number)
    histories = histories_of(seed, rulebook)
    together = classify_all(histories, NOW, rulebook)
    for index in (0, len(histories) - 1):
        alone = classify_all([histories[index]], NOW, rulebook)
        assert alone.result[0].tobytes() == together.result[index].tobytes()
        assert alone.parts[:, 0].tobytes() == together.parts[:, index].tobytes()


@proof
@given(seeds, st.integers(1, 20))
def test_order_and_batches_of_interactions_do_not_matter(seed: int, batch: int) -> None:
    rulebook = default_rulebook()
    [history] = histories_of(seed, rulebook, 1)
    shuffled = history.copy()
    Random(seed).shuffle(shuffled)
    held = ledger.empty(1)
    for start in range(0, len(shuffled), batch):
        held = ledger.fold(held, fold_all([shuffled[start : start + batch]], rulebook))
    assert rows_of(held) == rows_of(fold_all([history], rulebook))
    assert attributes_of_all([shuffled], rulebook) == attributes_of_all([history], rulebook)


@proof
@given(seeds)
def test_merged_customers_are_classified_as_one_who_did_it_all(seed: int) -> None:
    rulebook = default_rulebook()
    a, b = histories_of(seed, rulebook, 2)
    b = [msgspec.structs.replace(one, id=f"b{one.id}") for one in b]
    merged = ledger.merge(fold_all([a, b], rulebook), np.array([0, 0])).only(np.array([0]))
    columns = attribute_columns(attributes_of_all([a + b], rulebook), rulebook)
    assert classify(merged, columns, NOW, rulebook).result[0] == classified(a + b, rulebook)


@proof
@given(seeds, st.lists(st.integers(0, 2**28 - 1), max_size=8))
def test_signals_that_the_rulebook_does_not_have_change_nothing(seed: int, ids: list[int]) -> None:
    rulebook = default_rulebook()
    histories = histories_of(seed, rulebook, 3)
    rows = fold_all(histories, rulebook)
    known = rulebook.signal_ids
    # Ids that share their low or high bits with known ones, too.
    strange = [*ids, *(int(known[0]) ^ 1 << bit for bit in range(0, 28, 5))]
    added = [(customer, id_, 20_700, 0, 9, 9) for customer in range(3) for id_ in strange if id_ not in known]
    columns = attribute_columns(attributes_of_all(histories, rulebook), rulebook)
    with_them = classify(ledger.fold(rows, ledgers_of(added, 3)), columns, NOW, rulebook)
    assert with_them.result.tobytes() == classify(rows, columns, NOW, rulebook).result.tobytes()


@proof
@given(seeds, st.integers(0, 7))
def test_nothing_changes_before_the_review(seed: int, number: int) -> None:
    rulebook = some_rulebook(number)
    histories = histories_of(seed, rulebook, 6)
    ledgers, held = fold_all(histories, rulebook), attributes_of_all(histories, rulebook)
    columns = attribute_columns(held, rulebook)
    today = rulebook.days.day_of(NOW)
    result = classify(ledgers, columns, NOW, rulebook).result
    due = next_review(ledgers, columns, result, today, rulebook)
    assert (due > today).all()
    given = columns[OVERRIDES].tolist()
    ends = [next_expiry(one, NOW) for one in given]  # of overrides, which are a moment's and not a day's
    due = np.minimum(due, [NEVER if end is None else rulebook.days.day_of(end) for end in ends])
    for day in sorted({today + 1, today + 2, today + 7, today + 200, *(due[due < NEVER] - 1).tolist()} - {today}):
        unreviewed = day < due
        later = classify(ledgers, columns, rulebook.days.midnight(day), rulebook).result
        assert later[unreviewed].tobytes() == result[unreviewed].tobytes(), day


@proof
@given(seeds)
def test_compacting_at_the_horizon_changes_no_classification(seed: int) -> None:
    rulebook = default_rulebook()
    random = Random(seed)
    old = NOW - timedelta(days=random.randint(0, 2_000))
    histories = [distinct(random_history(random, old, rulebook.days.zone)) for _ in range(10)]
    ledgers = fold_all(histories, rulebook)
    columns = attribute_columns(attributes_of_all(histories, rulebook), rulebook)
    compacted = ledger.compact(ledgers, rulebook.days.day_of(NOW) - rulebook.horizon_days)
    expected = classify(ledgers, columns, NOW, rulebook).result
    assert classify(compacted, columns, NOW, rulebook).result.tobytes() == expected.tobytes()


def test_a_steady_buyer_of_five_years_is_not_won_back_by_compacting() -> None:
    rulebook = default_rulebook()
    ledgers = fold_all([[bought(days) for days in range(0, 1_800, 30)]], rulebook)
    compacted = ledger.compact(ledgers, rulebook.days.day_of(NOW) - rulebook.horizon_days)
    columns = attribute_columns([{}], rulebook)
    stages = [classify(one, columns, NOW, rulebook).result["stage"][0] for one in (ledgers, compacted)]
    assert [rulebook.stage_names[stage] for stage in stages] == ["loyal", "loyal"]


def test_no_customers_are_classified() -> None:
    assert len(classify_all([], NOW, default_rulebook()).result) == 0


def test_a_customer_of_whom_nothing_is_known_is_a_prospect_of_the_last_tier() -> None:
    rulebook = default_rulebook()
    found = read(classified([], rulebook), rulebook)
    assert found == reference([], NOW, rulebook)
    assert (found.level, found.stage, found.tier, found.points) == ("low", "prospect", "E", 0)


def test_a_hundred_thousand_rows_are_one_customer() -> None:
    rulebook = default_rulebook()
    days = np.arange(100_000) % 5_000 + 15_000
    rows = Ledgers(
        1, np.zeros(100_000, np.int64), np.repeat(rulebook.signal_ids[:20], 5_000), days, days * 0, days * 0 + 1, days
    )
    columns = attribute_columns([{}], rulebook)
    assert classify(rows, columns, NOW, rulebook).result[0]["score"] >= 0


def test_points_are_halved_after_the_half_life_and_gone_after_seventeen() -> None:
    rulebook = load(SMALL)
    points = [int(classified(views(days), rulebook)["points"]) for days in (0, 7, 14, 17 * 7, 3_000)]
    assert points == [5 * POINT, 5 * POINT // 2, 5 * POINT // 4, 0, 0]


def test_today_counts_whole_until_midnight_of_the_business_time_zone() -> None:
    rulebook = load(SMALL)
    last = datetime(2026, 11, 20, 22, 59, 59, tzinfo=UTC)
    assert classified(views(0), rulebook, last)["points"] == 5 * POINT
    assert classified(views(0), rulebook, last + timedelta(seconds=1))["points"] < 5 * POINT


def test_points_of_a_signal_are_capped() -> None:
    rulebook = load(SMALL)
    assert classified(views(*[0] * 30), rulebook)["points"] == 60 * POINT


def level_of(history: list[Interaction], rulebook: Rulebook, now: datetime = NOW) -> str:
    return read(classified(history, rulebook, now), rulebook).level


def test_inside_a_band_the_last_close_outside_of_it_decides() -> None:
    rulebook = load(SMALL)  # 20 points are a score of 33.3, on; 15 are 27.3, within the band; 5 are 11.1, off
    assert level_of(views(0, 0, 0, 0), rulebook) == "medium"
    assert level_of(views(0, 0, 0), rulebook) == "low"
    assert level_of(views(3, 3, 3, 3), rulebook) == "medium"
    assert level_of([*views(3, 3, 3, 3)], rulebook, NOW + timedelta(days=12)) == "low"


def test_a_late_interaction_corrects_the_past() -> None:
    rulebook = load(SMALL)
    assert level_of(views(3, 3, 3), rulebook) == "low"
    assert level_of(views(3, 3, 3, 3), rulebook) == "medium"


def test_a_close_of_more_than_ninety_days_ago_is_forgotten() -> None:
    rulebook = load(SMALL.replace("half_life: 7d", "half_life: 400d").replace("leave: 20", "leave: 25"))
    history = views(0, 0, 0, 0)
    levels = [level_of(history, rulebook, NOW + timedelta(days=days)) for days in range(250)]
    scores = [classified(history, rulebook, NOW + timedelta(days=days))["score"] for days in range(250)]
    first_inside = next(day for day, score in enumerate(scores) if score < 300)
    assert set(levels[: first_inside + 90]) == {"medium"}
    assert set(levels[first_inside + 90 :]) == {"low"}


def test_a_fit_may_not_count_since_levels_look_back_with_the_attributes_of_today() -> None:
    text = SMALL.replace("when: 'role = \"owner\"', points: 8", "when: 'count(purchase, 1d) > 0', points: 30")
    with pytest.raises(RulebookError, match="no functions here: only attributes are known"):
        load(text)


def bought(days_ago: int, **properties: Any) -> Interaction:
    time = NOW - timedelta(days=days_ago)
    return Interaction(
        id=f"o{days_ago}", source="shop", time=time, received=time, channel="order", type="purchase",
        identifiers={"user_id": "u"}, properties={"amount": "10.00", **properties},
    )  # fmt: skip


def test_an_hour_is_what_the_clock_on_the_wall_shows_on_the_day_that_clocks_change() -> None:
    rulebook = load(SMALL.replace('path like "/*"', "hour = 10"))
    for day in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        moment = day.replace(hour=10, tzinfo=rulebook.days.zone).astimezone(UTC)
        one = msgspec.structs.replace(view(0), time=moment)
        assert classified([one], rulebook, moment)["points"] == 5 * POINT, day


@pytest.mark.parametrize("value", [["owner"], [], "", 7, True, "owner\n", 1e300, "nan"])
def test_an_attribute_of_any_kind_stops_nothing(value: Any) -> None:
    rulebook = load(SMALL)
    one = msgspec.structs.replace(view(0), attributes={"role": value})
    assert read(classified([one], rulebook), rulebook) == reference([one], NOW, rulebook)


def test_the_score_is_rounded_half_up() -> None:
    rulebook = load(SMALL.replace("each: 5", "each: 1").replace("half_score: 40", "half_score: 1999"))
    assert classified(views(0), rulebook)["score"] == 1  # of 1 and 1999 points, just half a tenth


def test_a_rate_holds_from_its_day_on_and_the_first_one_before_it_too() -> None:
    rulebook = load(SMALL.replace("{2024-01-01: 0.9}", "{2026-11-18: 0.5, 2026-11-20: 2.0}"))
    values = {days: fold_all([[bought(days, currency="USD")]], rulebook).value.max() for days in (0, 1, 2, 9)}
    assert values == {0: 2_000, 1: 500, 2: 500, 9: 500}


def test_an_override_holds_until_its_expiry_and_no_longer() -> None:
    rulebook = load(SMALL)
    said = {"aspect": "tier", "value": "A", "expires": "2026-11-20T12:00:00Z"}
    one = msgspec.structs.replace(view(1, **said), channel="crm", type="override")
    for now, tier in ((NOW - timedelta(seconds=1), "A"), (NOW, "C")):
        assert read(classified([one], rulebook, now), rulebook).tier == tier
    assert classified([one], rulebook)["points"] == 0


def test_an_amount_without_a_rate_is_in_no_sum() -> None:
    rulebook = load(SMALL)
    known = classified([bought(0), bought(1, currency="USD")], rulebook)
    assert known["dimensions"][0] == 19
    assert classified([bought(0), bought(1, currency="USD"), bought(2, currency="XTS")], rulebook) == known


@pytest.mark.parametrize("text", [
    SMALL.replace("half_score: 40", "half_score: 0.0001"), SMALL.replace("half_score: 40", "half_score: 1.0e+15"),
    SMALL.replace("{often: 'count(view, 30d) >= 20'}", "{}"),
])  # fmt: skip
def test_what_the_loader_lets_pass_can_be_classified_by(text: str) -> None:
    try:
        rulebook = load(text)
    except ValueError:
        return
    assert classified([], rulebook)["score"] == 0
