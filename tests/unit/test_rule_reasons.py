"""A change of a stage or a tag stores the rule that decided, with its values, and says what the explanation says."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.support.histories import random_history
from tests.support.kernel import History, attributes_of_all, classify_all, distinct, fold_all
from tests.support.random_rulebooks import random_rulebook
from tierwise.domain.change import Changes, differences, reasons_of
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.explain import explanations
from tierwise.domain.explanation import Choice, Explanation
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook, default_text, load

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
STAGE, BROWSING = "lifecycle", "tag:behaviour.browsing"


@cache
def default_rulebook() -> Rulebook:
    return load(default_text())


def happened(channel: str, type_: str, days_ago: float, **properties: Any) -> Interaction:
    moment = NOW - timedelta(days=days_ago)
    return Interaction(
        id=f"{type_}{days_ago}", source="shop", time=moment, received=moment, channel=channel, type=type_,
        identifiers={"user_id": "u"}, properties=properties,
    )  # fmt: skip


def changed(
    before: np.ndarray[Any, Any] | None, after: Classifications, rulebook: Rulebook
) -> Iterator[tuple[Changes, int, list[dict[str, Any]]]]:
    """(change, its place, its reasons) of stages and tags. `before`: None for new customers."""
    known = np.full(len(after.result), before is not None)
    blank = np.zeros(len(after.result), rulebook.result)
    for change in differences(blank if before is None else before, known, after, rulebook):
        if change.aspect not in ("tier", "intent"):
            for place, packed in enumerate(change.reasons):
                yield change, place, reasons_of(change.aspect, packed, rulebook)


def choice_of(aspect: str, explanation: Explanation) -> Choice:
    return next(one for one in (explanation.lifecycle, *explanation.tags) if one.aspect == aspect)


def agree(histories: Sequence[History], rulebook: Rulebook) -> int:
    """How many reasons do. From one month to the next, by the same function that scoring calls."""
    columns = attribute_columns(attributes_of_all(histories, rulebook), rulebook)
    rows = fold_all(histories, rulebook)
    before = classify(rows, columns, NOW - timedelta(days=30), rulebook).result
    after = classify(rows, columns, NOW, rulebook)
    explained = list(explanations(rows, columns, NOW, rulebook))
    agreed = 0
    for was in (before, None):
        for change, place, reasons in changed(was, after, rulebook):
            choice = choice_of(change.aspect, explained[int(change.customer[place])])
            if choice.override is not None:
                assert reasons == []
                continue
            rules = [choice.rule] if choice.rule else [rule for rule in choice.before if rule.name == change.old[place]]
            if not rules:  # an override that has ended had set what no rule knows
                continue
            [reason] = reasons
            assert (reason["part"], reason["rule"]) == (rules[0].name, rules[0].filled)
            assert reason["en"].startswith("no longer: ") == (choice.rule is None)
            assert reason["zh"].startswith("不再成立：") == (choice.rule is None)
            agreed += 1
    return agreed


def test_the_rule_of_a_change_is_that_of_the_explanation() -> None:
    random, rulebook = Random("reasons"), default_rulebook()
    histories = [distinct(random_history(random, NOW, rulebook.days.zone)) for _ in range(150)]
    assert agree(histories, rulebook) > 300


@pytest.mark.parametrize("part", range(10))
def test_so_it_is_by_random_rulebooks(part: int) -> None:
    random = Random(part)
    rulebook = load(random_rulebook(random, "Asia/Kathmandu"))
    agree([distinct(random_history(random, NOW, rulebook.days.zone)) for _ in range(30)], rulebook)


def test_a_stage_says_its_rule_and_its_values_in_words() -> None:
    history = [happened("order", "purchase", days, amount="10") for days in (20, 40, 60)]
    found = changed(None, classify_all([history], NOW, default_rulebook()), default_rulebook())
    [reasons] = [reasons for change, _, reasons in found if change.aspect == STAGE]
    assert reasons == [
        {
            "part": "active",
            "rule": "count(purchase) [3] >= 2 and days_since(purchase) [20] <= 120",
            "en": "Purchase 3 times, last Purchase 20 days ago",
            "zh": "购买 3 次、距上次购买 20 天",
        }
    ]


def test_a_tag_that_goes_says_the_rule_that_does_not_hold_any_more() -> None:
    rulebook = default_rulebook()
    history = [happened("web", "page_view", 25 + number / 100, path="/") for number in range(21)]
    before = classify_all([history], NOW, rulebook).result
    after = classify_all([history], NOW + timedelta(days=10), rulebook)
    [(change, reasons)] = [
        (change, reasons) for change, _, reasons in changed(before, after, rulebook) if change.aspect == BROWSING
    ]
    assert (change.old, change.new) == (["high"], [None])
    assert reasons[0]["part"] == "high"
    assert reasons[0]["en"].startswith("no longer: Page viewed 0 times in 30 days")


def test_the_last_stage_says_that_no_other_holds() -> None:
    found = changed(None, classify_all([[]], NOW, default_rulebook()), default_rulebook())
    [reasons] = [reasons for change, _, reasons in found if change.aspect == STAGE]
    assert reasons == [
        {"part": "prospect", "rule": "true", "en": "no rule before it holds", "zh": "在前的规则都不成立"}
    ]


def test_where_it_is_not_known_what_rules_looked_at_there_is_no_reason() -> None:
    after = replace(classify_all([[happened("web", "page_view", 1)]], NOW, default_rulebook()), history=None)
    found = list(changed(None, after, default_rulebook()))
    assert found
    assert all(reasons == [] for _, _, reasons in found)


def test_reasons_take_few_bytes() -> None:
    random, rulebook = Random("bytes"), default_rulebook()
    after = classify_all([distinct(random_history(random, NOW, rulebook.days.zone)) for _ in range(100)], NOW, rulebook)
    sizes = [len(change.reasons[place]) for change, place, _ in changed(None, after, rulebook)]
    assert np.mean(sizes) < 16
