"""Interests that no rulebook lists, and amounts in a currency without a rate: in the ledger, whatever the order."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.kernel import attributes_of_all, fold_all, read
from tests.support.proof import proof
from tests.support.reference import reference
from tierwise.domain import attributes as attribute
from tierwise.domain import ledger, packed_ledger
from tierwise.domain.attributes import Attributes, Entry, Kind
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.dynamic_signals import (
    INTERESTS,
    INTERESTS_KEPT,
    OTHER_INTEREST,
    UNCONVERTED,
    interest_id,
    keep_interests,
    kept_interests,
    unconverted,
    unconverted_id,
)
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ledgers
from tierwise.domain.rulebook import Rulebook, RulebookError, default_text, load
from tierwise.domain.view import StoredCustomer, current_view

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
CUSTOMERS = 3
KEPT = 3

Row = tuple[int, int, int, int, int, int]

ids = st.sampled_from([7, UNCONVERTED + 1, OTHER_INTEREST, *(INTERESTS + number for number in range(8))])
row = st.tuples(st.integers(0, CUSTOMERS - 1), ids, st.integers(0, 5), st.integers(0, 3), st.integers(1, 3), st.just(0))
some_rows = st.lists(row, max_size=30)


def ledgers_of(rows: list[Row]) -> Ledgers:
    return Ledgers(CUSTOMERS, *np.array(rows, np.int64).reshape(-1, 6).T)


def folded(*groups: list[Row]) -> Ledgers:
    """Kept after every group, as scoring does after every batch."""
    ledgers = ledger.empty(CUSTOMERS)
    for rows in groups:
        ledgers = keep_interests(ledger.fold(ledgers, ledgers_of(rows)), KEPT)
    return ledgers


def packed(ledgers: Ledgers) -> list[bytes]:
    return packed_ledger.pack(ledgers, 1)


@cache
def rulebook_without_a_list() -> Rulebook:
    text = default_text()
    listed = text[text.index("  values: [courses") : text.index("# Where a customer came from")]
    return load(re.sub(r"\binterests\((\d+d)\)", r"channels(\1)", text.replace(listed, "")))


@proof
@given(some_rows, st.integers(0, 30), st.integers(0, 30), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_change_which_interests_are_kept(
    rows: list[Row], first: int, second: int, random: Any
) -> None:
    low, high = sorted((first, second))
    shuffled = rows.copy()
    random.shuffle(shuffled)
    once = packed(folded(rows))
    assert packed(folded(rows[:low], rows[low:high], rows[high:])) == once
    assert packed(folded(*([one] for one in shuffled))) == once
    assert packed(folded(rows, [])) == once


@proof
@given(some_rows, st.lists(st.integers(0, CUSTOMERS - 1), min_size=CUSTOMERS, max_size=CUSTOMERS).map(np.array))
def test_merged_customers_keep_what_one_customer_would_keep(rows: list[Row], winner: Any) -> None:
    merged = keep_interests(ledger.merge(folded(rows), winner), KEPT)
    plain = ledger.fold(ledger.empty(CUSTOMERS), ledgers_of(rows))
    assert packed(merged) == packed(keep_interests(ledger.merge(plain, winner), KEPT))


@proof
@given(some_rows, st.integers(0, 6))
def test_compacting_before_or_after_keeping_ends_with_the_same_rows(rows: list[Row], horizon: int) -> None:
    plain = ledger.fold(ledger.empty(CUSTOMERS), ledgers_of(rows))
    before = ledger.compact(keep_interests(ledger.compact(plain, horizon), KEPT), horizon)
    assert packed(before) == packed(ledger.compact(keep_interests(plain, KEPT), horizon))


@proof
@given(some_rows)
def test_the_least_ids_are_kept_the_rest_is_other_and_nothing_is_lost(rows: list[Row]) -> None:
    found = folded(rows)
    for customer in range(CUSTOMERS):
        expected: Counter[int] = Counter()
        least = sorted({one[1] for one in rows if one[0] == customer and one[1] >= INTERESTS})[:KEPT]
        for owner, signal, _, _, count, _ in rows:
            if owner == customer:
                expected[signal if signal < INTERESTS or signal in least else OTHER_INTEREST] += count
        mine = found.customer == customer
        counted: Counter[int] = Counter()
        for signal, count in zip(found.signal[mine].tolist(), found.count[mine].tolist(), strict=True):
            counted[signal] += count
        assert counted == expected


names = st.lists(st.text(min_size=1, max_size=4), max_size=6)


@proof
@given(names, names, names)
def test_the_names_that_are_kept_do_not_depend_on_order_or_grouping(a: list[str], b: list[str], c: list[str]) -> None:
    def held(*groups: list[str]) -> Attributes:
        into: Attributes = {}
        for group in groups:
            attribute.merge(into, [("interests.named", Entry(Kind.INTERESTS, 0, b"", [one])) for one in group])
        return into

    left, right = held(a, b), held(c)
    attribute.merge(right, left.items())
    assert right == held(c, b, a) == held(a, b, c, a)
    assert not attribute.merge(right, held(b).items())  # what is known already moves nothing


def test_an_id_of_each_kind_has_a_range_of_its_own_and_holds_still() -> None:
    assert (interest_id("rockets"), interest_id("图书")) == (143_288_080, 220_773_957)
    assert all(INTERESTS <= interest_id(str(number)) < 2 * INTERESTS for number in range(1_000))
    assert interest_id("other") == interest_id("") == interest_id("x" * 101) == OTHER_INTEREST < UNCONVERTED
    assert (unconverted_id("AAA"), unconverted_id("ZZZ")) == (UNCONVERTED, UNCONVERTED + 26**3 - 1)
    assert unconverted_id("yuan") is None
    assert UNCONVERTED + 26**3 < INTERESTS


def viewed(number: int, category: str, **more: Any) -> Interaction:
    moment = NOW - timedelta(minutes=number)
    return Interaction(
        id=str(number), source="shop", time=moment, received=moment, channel="web", type="product_view",
        identifiers={"user_id": "u"}, properties={"category": category, **more},
    )  # fmt: skip


def interests_of(history: list[Interaction], rulebook: Rulebook) -> list[str]:
    rows, [held] = fold_all([history], rulebook), attributes_of_all([history], rulebook)
    result = classify(rows, attribute_columns([held], rulebook), NOW, rulebook).result[0]
    customer = StoredCustomer(
        id=1, merged_into=None, ledger=packed_ledger.pack(rows, rulebook.fold_version)[0],
        attributes=attribute.pack(held), result=result.tobytes(),
        rulebook_id=1, first_seen=NOW, last_seen=NOW, stage_since=NOW.date(),
        classified_at=NOW, sequence=0, version=1,
    )  # fmt: skip
    view = current_view(customer, identifiers=[], rulebook=rulebook, open_attributes=dict)
    assert not view["attributes"]
    assert read(result, rulebook, view["interests"]) == reference(history, NOW, rulebook)
    return list(view["interests"])


def test_without_a_list_every_value_is_an_interest_under_its_own_name() -> None:
    history = [viewed(number, name) for number, name in enumerate(["rockets", "图书", "rockets", "", "b", "a"])]
    assert interests_of(history, rulebook_without_a_list()) == ["rockets", "a", "b", "图书", "other"]


def test_with_a_list_what_is_not_on_it_is_other() -> None:
    history = [viewed(number, name) for number, name in enumerate(["rockets", "图书", "rockets"])]
    assert interests_of(history, load(default_text())) == ["other", "图书"]


def test_of_more_interests_than_are_kept_the_reference_keeps_the_same() -> None:
    random = Random(3)
    values = [f"category {number}" for number in range(INTERESTS_KEPT + 60)]
    history = [viewed(number, random.choice(values)) for number in range(2_000)]
    found = interests_of(history, rulebook_without_a_list())
    assert found[0] == "other"
    assert set(found[1:]) <= set(kept_interests(values))


def test_without_a_list_no_rule_can_count_interests() -> None:
    text = default_text()
    listed = text[text.index("  values: [courses") : text.index("# Where a customer came from")]
    text = text.replace(listed, "").replace("'count(page_view, 30d) >= 20'", "'interests(30d) >= 2'")
    with pytest.raises(RulebookError, match=r"list it under interests\.values"):
        load(text)


def test_amounts_without_a_rate_are_counted_once_each_up_to_the_day() -> None:
    rulebook = load(default_text())
    bought = [
        Interaction(
            id=f"{currency}{days}", source="shop", time=NOW - timedelta(days=days), received=NOW, channel="order",
            type="purchase", identifiers={"user_id": "u"}, properties={"amount": "5", "currency": currency},
        )
        for currency, days in [("XTS", 0), ("XTS", 1), ("CNY", 1), ("XAU", 2), ("XTS", -2)]
    ]  # fmt: skip
    rows = fold_all([bought, bought[:1], bought[2:3]], rulebook)
    assert unconverted(rows, rulebook.days.day_of(NOW)) == [{"XTS": 2, "XAU": 1}, {"XTS": 1}, {}]
