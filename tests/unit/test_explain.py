"""An explanation is what `classify` computed, in parts that add up to it exactly."""

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories import random_history
from tests.support.kernel import attributes_of_all, distinct, fold_all, read
from tests.support.random_rulebooks import random_rulebook
from tests.support.stories import did
from tierwise.domain.attributes import Entry, Kind
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.explain import POINT, TIER_POINT, explain, shown
from tierwise.domain.explanation import Choice, Explanation, Fit, Signal
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook, default_text, load
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.view import tags_of

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
RANDOM_RULEBOOKS = 30


@cache
def default_rulebook() -> Rulebook:
    return load(default_text())


def happened(
    channel: str, type_: str, days_ago: int, *, attributes: dict[str, Any] | None = None, **properties: Any
) -> Interaction:
    moment = NOW - timedelta(days=days_ago)
    return Interaction(
        id=f"{channel}-{type_}-{days_ago}-{properties}", source="shop", time=moment, received=moment, channel=channel,
        type=type_, identifiers={"user_id": "u"}, attributes=attributes or {}, properties=properties,
    )  # fmt: skip


def explained(history: list[Interaction], rulebook: Rulebook, now: datetime = NOW) -> tuple[Explanation, Any]:
    """The explanation, and what `classify` gives."""
    rows = fold_all([history], rulebook)
    columns = attribute_columns(attributes_of_all([history], rulebook), rulebook)
    explanation = explain(rows, columns, now, rulebook)
    return explanation, classify(rows, columns, now, rulebook).result[0]


def decimals(values: list[float]) -> list[Decimal]:
    """As JSON shows them."""
    return [Decimal(json.dumps(value)) for value in values]


def check(explanation: Explanation, result: Any, rulebook: Rulebook) -> None:
    """Everything agrees with the result, adds up, and names what the rulebook has."""
    expected = read(result, rulebook)
    intent, tier = explanation.intent, explanation.tier
    assert (intent.exact, intent.level, round(intent.score * 10)) == (expected.points, expected.level, expected.score)
    assert sum(part.exact for part in intent.parts) == intent.exact
    assert sum(decimals([part.points for part in intent.parts])) == decimals([intent.points])[0]
    assert abs(intent.points * POINT - intent.exact) <= POINT / 2000
    for part in intent.parts:
        assert part.exact != 0
        assert abs(part.points * POINT - part.exact) < POINT / 1000 + 1e-3 * abs(part.exact)
    names = {points.signal for points in rulebook.points} | {fit.name for fit in rulebook.fit}
    assert {part.name for part in intent.parts if isinstance(part, Signal | Fit)} <= names
    on = [threshold.on for threshold in reversed(intent.thresholds)]
    assert rulebook.level_names[[*on, False].index(False)] == intent.computed
    assert (tier.grade, round(tier.score * 100)) == (expected.tier, expected.tier_score)
    assert sum(part.exact for part in tier.parts) == tier.exact
    assert sum(decimals([part.points for part in tier.parts])) == decimals([tier.score])[0]
    scores = {part.name: round(part.score * 10) for part in tier.parts}
    assert tuple(scores[one.name] for one in rulebook.dimensions) == expected.dimensions
    assert tier.computed == next((cut.tier for cut in tier.cuts if tier.score >= cut.score), rulebook.tier_otherwise)
    check_choice(explanation.lifecycle, [stage.name for stage in rulebook.stages], expected.stage)
    assert len(explanation.tags) == len(rulebook.tags)
    held = {(family, name): value for family, name, value in tags_of(result, rulebook)}
    for choice, tag in zip(explanation.tags, rulebook.tags, strict=True):
        check_choice(choice, list(tag.values), held.get((tag.family, tag.name)))
    for words in (intent.words, tier.words, explanation.lifecycle.words, *(tag.words for tag in explanation.tags)):
        assert set(words) == {"en", "zh"}
        assert all(said and "{" not in said for said in words.values())
    assert msgspec.json.decode(msgspec.json.encode(explanation))["tier"]["grade"] == tier.grade


def check_choice(choice: Choice, names: list[str], expected: str | None) -> None:
    assert choice.value == expected
    assert choice.value == choice.computed or (choice.override and choice.override.value == choice.value)
    assert [rule.name for rule in choice.before] == names[: len(choice.before)]
    for rule in choice.before:
        assert not rule.holds
        assert rule.failing
        assert all(comparison in rule.filled for comparison in rule.failing)
    if choice.rule is None:
        assert (choice.computed, len(choice.before)) == (None, len(names))
        return
    assert (choice.rule.holds, choice.rule.failing) == (True, [])
    assert choice.rule.name == names[len(choice.before)] == choice.computed
    parse(choice.rule.expression)


@pytest.mark.parametrize("part", range(8))
def test_of_random_customers_every_part_adds_up_to_what_classify_gives(part: int) -> None:
    random, rulebook = Random(f"explain {part}"), default_rulebook()
    for _ in range(25):
        history = distinct(random_history(random, NOW, rulebook.days.zone))
        check(*explained(history, rulebook), rulebook)


@pytest.mark.parametrize("part", range(RANDOM_RULEBOOKS))
def test_by_random_rulebooks_every_part_adds_up_to_what_classify_gives(part: int) -> None:
    random = Random(part)
    rulebook = load(random_rulebook(random, "Asia/Kathmandu"))
    for _ in range(8):
        history = distinct(random_history(random, NOW, rulebook.days.zone))
        check(*explained(history, rulebook), rulebook)


@given(st.lists(st.integers(-(2**50), 2**50), min_size=1, max_size=60), st.sampled_from([1, 100, 65_536]))
def test_shown_parts_add_up_to_the_rounded_total_and_none_is_off_by_a_whole_unit(exact: list[int], unit: int) -> None:
    parts = shown(exact, unit)
    assert sum(parts) == (2 * sum(exact) + unit) // (2 * unit)
    assert all(abs(part * unit - whole) < unit for part, whole in zip(parts, exact, strict=True))


class TestIntent:
    def test_a_signal_says_how_often_what_fading_left_and_what_the_cap_took(self) -> None:
        calls = [happened("call", "completed", days, duration_s=100 + days) for days in (0, 0, 21, 21, 21)]
        history = [happened("call", "completed", 0, duration_s=90), *calls, happened("web", "search", 7)]
        intent = explained(distinct(history), default_rulebook())[0].intent
        call, search = intent.parts
        assert isinstance(call, Signal)
        assert isinstance(search, Signal)
        assert (call.name, call.label["zh"], call.occurrences, call.left) == ("call_talked", "有效通话", 3, 2.5)
        assert (call.each, call.points, call.before_cap, call.at_most) == (20, 50, None, 60)
        assert (search.occurrences, search.left, search.points, str(search.last)) == (1, 0.5, 1, "2026-11-13")
        assert (intent.points, intent.half_score, intent.score) == (51, 40, 56.0)
        assert intent.words["en"].startswith(
            "High intent, score 56 of 100: 51 points, above all Talked on the phone +50.0"
        )

    def test_the_cap_is_told_when_it_bites(self) -> None:
        history = [happened("call", "completed", 0, duration_s=60 + number) for number in range(5)]
        part = explained(history, default_rulebook())[0].intent.parts[0]
        assert isinstance(part, Signal)
        assert (part.points, part.before_cap, part.at_most) == (60, 100, 60)

    def test_what_lies_below_zero_is_a_part_of_its_own(self) -> None:
        intent = explained([happened("email", "unsubscribed", 0)], default_rulebook())[0].intent
        assert [(part.points, part.label["en"][:5]) for part in intent.parts] == [(-30, "Unsub"), (30, "Never")]
        assert (intent.points, intent.score) == (0, 0)

    def test_a_fit_says_its_condition_with_the_attribute_filled_in(self) -> None:
        history = [happened("crm", "note", 0, attributes={"role": "Owner"})]
        part = explained(history, default_rulebook())[0].intent.parts[0]
        assert isinstance(part, Fit)
        assert (part.name, part.points, part.rule.values) == ("decision_maker", 8, {"role": "Owner"})
        assert part.rule.filled == 'role [Owner] in ("owner", "director", "manager", "buyer")'

    def test_inside_a_band_it_names_the_close_that_decides(self) -> None:
        history = [happened("meeting", "held", 30, n=n) for n in range(4)]  # 100 points fade to less than 50
        rulebook, later = default_rulebook(), NOW + timedelta(days=10)
        intent = explained(history, rulebook, later)[0].intent
        high = intent.thresholds[0]
        assert (intent.score, high.decided_by, high.on, str(high.close)) == (49.8, "close", True, "2026-11-21")
        assert (
            "High intent is on as at the close of 2026-11-21, the last one outside of 48 to 55." in intent.words["en"]
        )
        days = [explained(history, rulebook, later - timedelta(days=back))[0].intent.score for back in range(10)]
        assert all(high.leave <= score < high.enter for score in days[:9])
        assert days[9] >= high.enter

    def test_inside_a_band_without_a_close_outside_of_it_the_level_is_off(self) -> None:
        history = [happened("meeting", "held", 0, n=0), happened("call", "completed", 0, duration_s=60)]
        intent = explained(history, default_rulebook())[0].intent
        high, medium = intent.thresholds
        assert (intent.score, high.decided_by, medium.decided_by, medium.on) == (52.9, "close", "score", True)
        assert (high.on, str(high.close)) == (False, "2026-11-19")


class TestTier:
    def test_a_dimension_says_its_metric_the_scale_around_it_and_what_it_gives(self) -> None:
        history = [happened("order", "purchase", 10, amount="1250.00")]
        tier = explained(history, default_rulebook())[0].tier
        value = tier.parts[0]
        assert (value.name, value.value, value.scale) == ("value", 1250.0, [(500, 35), (2000, 55)])
        assert (value.score, value.weight, value.points, value.exact) == (45.0, 0.35, 15.75, 45 * 3500)
        assert value.words["en"].startswith("Value 15.8 of 35 (Purchase 1,250.00 CNY in 730 days")
        assert value.words["zh"].startswith("价值 15.8/35（近 730 天购买合计 1,250.00 CNY")

    def test_beyond_its_ends_a_scale_has_one_point_and_an_unknown_metric_counts_as_nothing(self) -> None:
        tier = explained([happened("web", "page_view", 0)], default_rulebook())[0].tier
        parts = {part.name: part for part in tier.parts}
        assert (parts["loyalty"].value, parts["loyalty"].score) == (None, 0)
        assert parts["loyalty"].values["days_since(purchase)"] is None
        history = [happened("order", "purchase", 0, amount="999999.00")]
        parts = {part.name: part for part in explained(history, default_rulebook())[0].tier.parts}
        assert parts["value"].scale == [(200000, 100)]

    def test_it_says_what_is_missing_to_the_next_tier(self) -> None:
        tier = explained([happened("order", "purchase", 10, amount="1250.00")], default_rulebook())[0].tier
        above = next(cut for cut in reversed(tier.cuts) if cut.score > tier.score)
        assert tier.missing is not None
        assert round(tier.score + tier.missing, 2) == above.score
        assert TIER_POINT * tier.score == pytest.approx(tier.exact, abs=50)


class TestRules:
    def test_a_stage_has_its_rule_filled_in_and_why_the_earlier_ones_do_not_hold(self) -> None:
        history = [happened("order", "purchase", days, amount="10") for days in (20, 40, 60)]
        stage = explained(history, default_rulebook())[0].lifecycle
        assert stage.rule is not None
        assert stage.rule.filled == "count(purchase) [3] >= 2 and days_since(purchase) [20] <= 120"
        assert stage.rule.values == {"count(purchase)": 3, "days_since(purchase)": 20}
        assert [(rule.name, rule.failing) for rule in stage.before] == [
            ("won_back", ["longest_gap(purchase) [20] > 365"]),
            ("loyal", ["count(purchase, 365d) [3] >= 6"]),
            ("mature", ["count(purchase, 365d) [3] >= 4"]),
        ]
        assert stage.words["en"].startswith("Active: Purchase 3 times, last Purchase 20 days ago.")

    def test_the_last_stage_holds_because_no_other_does(self) -> None:
        stage = explained([], default_rulebook())[0].lifecycle
        assert (stage.value, stage.rule and stage.rule.expression) == ("prospect", "true")
        assert stage.words["en"].startswith("Prospect: no rule before it holds. But not Won back (")
        assert "days_since(purchase) [?] <= 120" in stage.before[4].filled

    def test_of_a_condition_with_or_every_alternative_fails(self) -> None:
        text = default_text().replace("'intent >= 20'", "'intent >= 20 or count(form) > 0 or not count(form) = 0'")
        stage = explained([], load(text))[0].lifecycle
        assert stage.before[-1].failing == ["intent [0] >= 20", "count(form) [0] > 0", "not count(form) [0] = 0"]

    def test_a_tag_that_the_customer_does_not_have_says_why(self) -> None:
        tags = explained([], default_rulebook())[0].tags
        browsing = next(tag for tag in tags if tag.aspect == "tag:behaviour.browsing")
        assert (browsing.value, browsing.label, browsing.rule) == (None, None, None)
        assert [rule.failing for rule in browsing.before] == [
            ["count(page_view, 30d) [0] >= 20"],
            ["count(page_view, 30d) [0] between 1 and 4"],
        ]


class TestOverrides:
    def test_the_computed_value_stays_beside_what_a_person_set(self) -> None:
        properties = {
            "value": "A",
            "reason": "VIP",
            "author": "Li",
            "expires": "2026-12-01T00:00:00Z",
        }
        rulebook = default_rulebook()
        columns = attribute_columns([{"override.tier": Entry(Kind.LATEST, 0, b"", properties)}], rulebook)
        rows = fold_all([[happened("crm", "note", 1)]], rulebook)
        tier = explain(rows, columns, NOW, rulebook).tier
        assert (tier.grade, tier.computed, tier.override and tier.override.author) == ("A", "E", "Li")
        assert tier.words["en"].startswith(
            "Set to Tier A by Li until 2026-12-01 08:00 (VIP). Computed: Tier E with 0.00"
        )
        assert tier.words["zh"].startswith("由 Li 设为A 级，至 2026-12-01 08:00（VIP）。计算结果：E 级")
        later = explain(rows, columns, NOW + timedelta(days=20), rulebook).tier
        assert (later.grade, later.override) == ("E", None)


def test_sealed_attributes_are_never_shown() -> None:
    text = default_text().replace("attributes: [region,", "attributes: [birthday, region,")
    text = text.replace("'role in (", '\'birthday != "x" and role in (')
    rulebook = load(text)
    history = [happened("crm", "note", 0, attributes={"role": "owner"})]
    columns = attribute_columns(attributes_of_all([history], rulebook), rulebook)
    columns["birthday"] = np.array([b"sealed"], object)
    explanation = explain(fold_all([history], rulebook), columns, NOW, rulebook)
    assert b"sealed" not in msgspec.json.encode(explanation)


def test_amounts_without_a_rate_are_told() -> None:
    rulebook = default_rulebook()
    amounts = [("XYZ", "1.00"), ("XYZ", "2.00"), ("ABC", "3.00"), ("USD", "4.00"), ("ZZZ", None)]
    history = [
        happened("order", type_, 3, currency=currency, amount=amount)
        for type_ in ("purchase", "cancelled")  # of the latter no sum takes amounts
        for currency, amount in amounts
    ]
    explanation, _ = explained(history, rulebook)
    assert explanation.unconverted == {"ABC": 1, "XYZ": 2}
    assert explanation.words == {
        "en": "1 amount in ABC: no rate is known, in no sum. 2 amounts in XYZ: no rate is known, in no sum.",
        "zh": "1 笔 ABC 金额没有汇率，未计入任何合计。2 笔 XYZ 金额没有汇率，未计入任何合计。",
    }


def test_two_customers_at_once_are_refused() -> None:
    rulebook = default_rulebook()
    with pytest.raises(ValueError, match="one customer"):
        explain(fold_all([[], []], rulebook), attribute_columns([{}, {}], rulebook), NOW, rulebook)


def test_it_takes_a_few_milliseconds() -> None:
    random, rulebook = Random(5), default_rulebook()
    history = distinct(random_history(random, NOW, rulebook.days.zone, length_max=200))
    rows, columns = fold_all([history], rulebook), attribute_columns([{}], rulebook)
    took_s = []
    for _ in range(30):
        started = time.thread_time()
        explain(rows, columns, NOW, rulebook)
        took_s.append(time.thread_time() - started)
    assert min(took_s) < 0.005


def test_what_is_asked_of_no_signal_is_said_in_words_too() -> None:
    said = explained(did("chat/message", 1, 2) + did("order/purchase", 2, amount="10"), default_rulebook())[0].tags
    words = {tag.aspect: tag.words for tag in said}
    assert "不是多渠道（近 180 天使用 2 个渠道）" in words["tag:behaviour.channels"]["zh"]
    assert "not Uses several channels (2 channels in 180 days)" in words["tag:behaviour.channels"]["en"]
    preferred = words["tag:behaviour.preferred_channel"]
    assert preferred["en"].startswith("Prefers chat: most often by chat in 180 days.")
    assert preferred["zh"].startswith("偏好在线咨询：近 180 天最常用 在线咨询。")
