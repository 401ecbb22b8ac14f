"""Cuts: shares of the customers become least scores, exactly, whatever the order; and classifying goes by them."""

from datetime import UTC, date, datetime
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories import random_history
from tests.support.kernel import attributes_of_all, classify_all, distinct, fold_all, read
from tests.support.proof import proof
from tests.support.random_rulebooks import random_rulebook
from tests.support.reference import reference
from tierwise.domain.calendar import date_of, day_number
from tierwise.domain.classify import attribute_columns
from tierwise.domain.cuts import SCORE_MAX, Tally, last_close, taken_at
from tierwise.domain.explain import explain
from tierwise.domain.override import is_override
from tierwise.domain.rulebook import Rulebook, RulebookError, load
from tierwise.domain.rulebook.book import Shares
from tierwise.domain.rulebook.schema import Schedule

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL = (Path(__file__).parents[1] / "support" / "small.yaml").read_text(encoding="utf-8")
CUTS = "  cuts: {A: 60, B: 30}\n"

seeds = st.integers(0, 10**6)
all_scores = st.lists(st.one_of(st.integers(0, SCORE_MAX), st.sampled_from([0, 5_000, SCORE_MAX])), max_size=60)
all_shares = st.lists(st.integers(1, 10_000), min_size=1, max_size=5).filter(lambda given: sum(given) <= 10_000)


def with_shares(shares: str, taken: str = "monthly") -> str:
    assert SMALL.count(CUTS) == 1
    return SMALL.replace(CUTS, f"{CUTS}  shares: {{of_customers: {shares}, taken: {taken}}}\n")


def tally_of(*pages: list[int]) -> Tally:
    tally = Tally()
    for page in pages:
        tally.add(np.array(page, np.int16))
    return tally


def shares_of(*given: int) -> Shares:
    return Shares(tuple(accumulate(given)), "monthly", quiet=False)


def cut(scores: list[int], *given: int) -> tuple[int, ...]:
    return tally_of(scores).cut(shares_of(*given))


@proof
@given(all_scores, all_shares)
def test_a_cut_is_the_least_score_that_no_more_customers_reach_than_the_share(
    scores: list[int], given: list[int]
) -> None:
    for least, share in zip(cut(scores, *given), accumulate(given), strict=True):
        candidates = {0, *(score + 1 for score in scores)}
        fit = [one for one in candidates if sum(score >= one for score in scores) * 10_000 <= share * len(scores)]
        assert least == min(fit)


@proof
@given(all_scores, all_shares, seeds)
def test_neither_order_nor_pages_change_the_cuts(scores: list[int], given: list[int], seed: int) -> None:
    shuffled = Random(seed).sample(scores, len(scores))
    border = seed % (len(scores) + 1)
    in_pages = tally_of(shuffled[:border], shuffled[border:])
    assert in_pages.cut(shares_of(*given)) == cut(scores, *given)
    assert in_pages.customers == len(scores)


def test_top_customers_are_of_the_highest_tier() -> None:
    scores = list(range(100, 10_001, 100))  # 1.00 to 100.00
    assert cut(scores, 500, 1_500, 3_000) == (9_501, 8_001, 5_001)


def test_those_with_the_same_score_at_the_border_are_all_below_it() -> None:
    assert cut([9_000, 8_000, 8_000, 1_000], 5_000) == (8_001,)
    assert cut([9_000, 8_000, 8_000, 1_000], 7_500) == (1_001,)


def test_a_tier_that_nobody_fits_into_is_empty_and_the_next_one_gets_its_share() -> None:
    assert cut([7_000] * 3 + [10] * 7, 2_000, 1_000, 7_000) == (7_001, 11, 0)
    assert cut([SCORE_MAX] * 2, 5_000) == (SCORE_MAX + 1,)


def test_where_nobody_is_the_fixed_scores_go_on() -> None:
    rulebook = load(with_shares("{A: 5%, B: 15%}"))
    assert taken_at(7, Tally(), rulebook) == (7, (6_000, 3_000), 0)
    assert taken_at(7, tally_of([40] * 10), rulebook) == (7, (41, 41), 10)


CLOSES = [
    ("daily", "2026-03-01", "2026-02-28"),
    ("weekly", "2026-11-22", "2026-11-15"),  # a Sunday: the week is not over
    ("weekly", "2026-11-23", "2026-11-22"),
    ("monthly", "2026-11-30", "2026-10-31"),
    ("monthly", "2028-03-01", "2028-02-29"),
    ("quarterly", "2026-03-31", "2025-12-31"),
    ("quarterly", "2026-12-31", "2026-09-30"),
    ("quarterly", "2027-01-01", "2026-12-31"),
]


@pytest.mark.parametrize(("taken", "today", "close"), CLOSES)
def test_cuts_are_taken_at_the_end_of_the_last_period_that_is_over(taken: str, today: str, close: str) -> None:
    day = last_close(cast("Schedule", taken), day_number(date.fromisoformat(today)))
    assert date_of(day).isoformat() == close


def test_shares_are_written_in_percent() -> None:
    shares = load(with_shares("{A: 5%, B: 12.25%}", "weekly")).shares
    assert shares == Shares((500, 1_725), "weekly", quiet=False)
    assert load(SMALL).shares is None
    assert load(with_shares("{A: 5%, B: 95%}")).cuts == load(SMALL).cuts  # until some are taken


ERRORS = [
    ("{A: 5%, B: 95.01%}", ["add up to 100.01%, more than all customers"]),
    ("{A: 5%}", ["no share for B: every tier of tiers.cuts needs one"]),
    ("{B: 5%, A: 5%}", ["go from the highest tier down, as tiers.cuts: A, B"]),
    ("{A: 5%, BB: 5%}", [".BB: unknown tier 'BB'; did you mean 'B'?", "no share for B"]),
    ("{A: 5%, B: 5%, C: 5%}", [".C: is who is left: give shares to the other tiers only"]),
    ("{A: 60%, C: 60%}", [".C: is who is left", "no share for B", "add up to 120%"]),
    ("{A: 5, B: 5%}", [".A: expected a share of the customers, above 0% and up to 100%, such as 5% or 2.5%"]),
    ("{A: 0%, B: 101%}", [".A: expected a share", ".B: expected a share"]),
]


@pytest.mark.parametrize(("shares", "expected"), ERRORS)
def test_wrong_shares_are_refused_with_every_error(shares: str, expected: list[str]) -> None:
    with pytest.raises(RulebookError) as caught:
        load(with_shares(shares))
    assert len(caught.value.errors) == len(expected)
    for error, words in zip(caught.value.errors, expected, strict=True):
        assert error.startswith("tiers.shares.of_customers")
        assert words in error


def test_a_schedule_that_there_is_not_is_refused() -> None:
    with pytest.raises(RulebookError, match=r"tiers\.shares\.taken: Input should be 'daily', 'weekly', 'monthly'"):
        load(with_shares("{A: 5%, B: 5%}", "yearly"))


def cut_at_random(rulebook: Rulebook, random: Random) -> Rulebook:
    scores = sorted((random.choice([0, 50, 1_200, 3_333, 5_000, 10_001]) for _ in rulebook.cuts), reverse=True)
    return rulebook.cut_at(scores, 7)


@proof
@given(seeds)
def test_classifying_by_cuts_gives_what_the_reference_gives_by_them(seed: int) -> None:
    random = Random(seed)
    rulebook = cut_at_random(load(random_rulebook(Random(seed % 12), "Europe/Berlin")), random)
    histories = [distinct(random_history(random, NOW, rulebook.days.zone)) for _ in range(6)]
    for history, result in zip(histories, classify_all(histories, NOW, rulebook).result, strict=True):
        expected = reference(history, NOW, rulebook)
        assert read(result, rulebook, expected.interests) == expected


@proof
@given(seeds)
def test_whoever_shares_are_taken_of_is_classified_into_them(seed: int) -> None:
    random = Random(seed)
    rulebook = load(with_shares("{A: 10%, B: 30%}"))
    drawn = [distinct(random_history(random, NOW, rulebook.days.zone)) for _ in range(20)]
    histories = [[one for one in history if not is_override(one)] for history in drawn]
    tally = Tally()
    tally.add(classify_all(histories, NOW, rulebook).result["tier_score"])
    tiers = classify_all(histories, NOW, rulebook.cut_at(tally.cut(shares_of(1_000, 3_000)), 1)).result["tier"]
    assert (tiers == 0).sum() <= 2
    assert (tiers <= 1).sum() <= 8


def test_an_explanation_names_the_cuts_and_the_highest_tier_that_more_points_make() -> None:
    random = Random(3)
    rulebook = load(SMALL).cut_at((9_000, 9_000), 7)  # B is empty
    history = distinct(random_history(random, NOW, rulebook.days.zone))
    columns = attribute_columns(attributes_of_all([history], rulebook), rulebook)
    explanation = explain(fold_all([history], rulebook), columns, NOW, rulebook)
    assert explanation.cuts == 7
    assert [cut.score for cut in explanation.tier.cuts] == [90, 90]
    assert explanation.tier.grade == "C"
    assert explanation.tier.words["en"].endswith("more make Tier A.")
