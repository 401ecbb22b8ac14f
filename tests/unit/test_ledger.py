"""The ledger is a commutative monoid, to the byte."""

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tests.support.rows import CUSTOMERS, Row, horizons, ledgers_of, one_row, rows_of, some_rows
from tierwise.domain.ledger import (
    VALUE_MAX,
    Ledgers,
    compact,
    empty,
    fold,
    merge,
    signal_id,
)
from tierwise.domain.packed_ledger import fold_version_of, pack, unpack
from tierwise.domain.packed_ledger import rows_of as stored_rows_of
from tierwise.domain.runs import run_sums, spans

winners = st.lists(st.integers(0, CUSTOMERS - 1), min_size=CUSTOMERS, max_size=CUSTOMERS).map(np.array)


def folded(*groups: list[Row]) -> Ledgers:
    ledgers = empty(CUSTOMERS)
    for rows in groups:
        ledgers = fold(ledgers, ledgers_of(rows))
    return ledgers


@proof
@given(some_rows)
def test_folding_adds_counts_and_values_and_keeps_the_last_second(rows: list[Row]) -> None:
    expected = []
    for key, group in groupby(sorted(rows), key=lambda row: row[:3]):
        columns = list(zip(*group, strict=True))
        expected.append((*key, max(columns[3]), sum(columns[4]), sum(columns[5])))
    assert rows_of(folded(rows)) == expected


@proof
@given(some_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], random: Any) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)
    assert pack(folded(shuffled), 1) == pack(folded(rows), 1)


@proof
@given(some_rows, st.integers(0, 30), st.integers(0, 30))
def test_batches_do_not_matter(rows: list[Row], first: int, second: int) -> None:
    low, high = sorted((first, second))
    parts = rows[:low], rows[low:high], rows[high:]
    assert pack(folded(*parts), 1) == pack(folded(*parts[::-1]), 1) == pack(folded(rows), 1)


@proof
@given(some_rows, some_rows)
def test_folding_two_parts_is_folding_what_each_gave(a: list[Row], b: list[Row]) -> None:
    assert rows_of(fold(folded(a), folded(b))) == rows_of(folded(a + b))


@proof
@given(some_rows, winners)
def test_merged_customers_have_what_one_customer_would_have(rows: list[Row], winner: Any) -> None:
    moved = [(int(winner[row[0]]), *row[1:]) for row in rows]
    assert rows_of(merge(folded(rows), winner)) == rows_of(folded(moved))


@proof
@given(some_rows, winners, winners)
def test_who_merges_first_does_not_matter(rows: list[Row], first: Any, second: Any) -> None:
    assert rows_of(merge(merge(folded(rows), first), second)) == rows_of(merge(folded(rows), second[first]))


@proof
@given(some_rows, horizons)
def test_compacting_keeps_sums_first_day_last_second_and_all_that_is_newer(rows: list[Row], horizon: int) -> None:
    before, after = folded(rows), compact(folded(rows), horizon)
    by_signal = [
        {key: list(group) for key, group in groupby(rows_of(ledgers), key=lambda row: row[:2])}
        for ledgers in (before, after)
    ]
    assert by_signal[0].keys() == by_signal[1].keys()
    for key, old in by_signal[0].items():
        new = by_signal[1][key]
        assert sum(row[4] for row in new) == sum(row[4] for row in old)
        assert sum(row[5] for row in new) == sum(row[5] for row in old)
        assert new[0][2:4] == old[0][2:4]
        assert new[-1][2:4] == old[-1][2:4]
        assert [row for row in new if row[2] >= horizon] == [row for row in old if row[2] >= horizon]
        assert sum(row[2] < horizon for row in new) <= 2


@proof
@given(some_rows, horizons)
def test_compacting_again_changes_nothing(rows: list[Row], horizon: int) -> None:
    once = compact(folded(rows), horizon)
    assert compact(once, horizon) is once


@proof
@given(some_rows, horizons, horizons)
def test_compacting_as_time_passes_ends_where_compacting_late_does(rows: list[Row], a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert rows_of(compact(compact(folded(rows), low), high)) == rows_of(compact(folded(rows), high))


@proof
@given(some_rows, some_rows, horizons)
def test_compacting_before_folding_or_after_it_ends_the_same(a: list[Row], b: list[Row], horizon: int) -> None:
    late = compact(folded(a + b), horizon)
    assert rows_of(compact(fold(compact(folded(a), horizon), ledgers_of(b)), horizon)) == rows_of(late)
    assert rows_of(compact(fold(compact(folded(a), horizon), compact(folded(b), horizon)), horizon)) == rows_of(late)


@proof
@given(some_rows, winners, horizons)
def test_compacting_before_a_merge_or_after_it_ends_the_same(rows: list[Row], winner: Any, horizon: int) -> None:
    before = compact(merge(compact(folded(rows), horizon), winner), horizon)
    assert rows_of(before) == rows_of(compact(merge(folded(rows), winner), horizon))


@proof
@given(some_rows, st.integers(0, 2**32 - 1))
def test_what_is_packed_is_unpacked(rows: list[Row], fold_version: int) -> None:
    ledgers = folded(rows)
    packed = pack(ledgers, fold_version)
    assert len(packed) == CUSTOMERS
    assert rows_of(unpack(packed)) == rows_of(ledgers)
    assert {fold_version_of(one) for one in packed} == {fold_version}
    told = [(customer, *row) for customer, one in enumerate(packed) for row in stored_rows_of(one)]
    assert told == [(row[0], row[1], row[2], row[4], row[5]) for row in rows_of(ledgers)]


@proof
@given(some_rows)
def test_a_customer_is_packed_the_same_alone_and_among_others(rows: list[Row]) -> None:
    ledgers = folded(rows)
    alone = [pack(ledgers.only(np.array([customer])), 1)[0] for customer in range(CUSTOMERS)]
    assert alone == pack(ledgers, 1)


@proof
@given(some_rows, st.sets(st.integers(0, CUSTOMERS - 1)))
def test_a_choice_of_customers_keeps_their_rows(rows: list[Row], chosen: set[int]) -> None:
    numbers = {customer: index for index, customer in enumerate(sorted(chosen))}
    kept = folded(rows).only(np.array(sorted(chosen), np.int64))
    assert kept.customers == len(chosen)
    assert rows_of(kept) == [(numbers[row[0]], *row[1:]) for row in rows_of(folded(rows)) if row[0] in numbers]


@proof
@given(one_row.filter(lambda row: row[2] < 65_535))
def test_rows_order_by_signal_then_day_in_their_stored_form(row: Row) -> None:
    later = (*row[:2], row[2] + 1, 0, *row[4:])
    packed = pack(ledgers_of([row, later]), 0)[row[0]]
    earlier_key, later_key = (int.from_bytes(packed[start : start + 8], "little") for start in (9, 17))
    assert earlier_key < later_key


@proof
@given(st.lists(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=4), max_size=8))
def test_runs_are_summed_one_by_one_also_where_the_running_sum_wraps_around(runs: list[list[int]]) -> None:
    values = np.array([value for run in runs for value in run], np.int64)
    bounds = np.cumsum([0, *map(len, runs)])
    exact = [sum(run) for run in runs]
    wrapped = [(total + 2**63) % 2**64 - 2**63 for total in exact]
    assert run_sums(values, bounds).tolist() == wrapped
    assert run_sums(np.array([values, values]), bounds).tolist() == [wrapped, wrapped]


@proof
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), max_size=8))
def test_spans_are_the_indexes_from_each_start_to_its_end(pairs: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array(column, np.int64) for column in ([a for a, _ in pairs], [b for _, b in pairs]))
    indexes, bounds = spans(starts, starts + lengths)
    assert indexes.tolist() == [index for start, length in pairs for index in range(start, start + length)]
    assert bounds.tolist() == np.cumsum([0, *lengths.tolist()]).tolist()


def test_nothing_folds_and_packs_to_nothing() -> None:
    assert rows_of(folded()) == rows_of(folded([])) == rows_of(compact(folded(), 9)) == []
    assert [len(one) for one in pack(folded(), 1)] == [9] * CUSTOMERS
    assert len(unpack([])) == 0
    assert pack(empty(0), 1) == []


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        unpack([*pack(folded(), 1), b"\x09\0\0\0\0"])


@proof
@given(st.lists(one_row, min_size=1, max_size=9), st.integers(1, 30), st.booleans())
def test_a_ledger_with_bytes_too_many_or_too_few_is_refused(rows: list[Row], many: int, more: bool) -> None:
    packed = pack(folded(rows), 1)
    place = rows[0][0]
    packed[place] = packed[place] + bytes(many) if more else packed[place][: -min(many, len(packed[place]) - 9)]
    with pytest.raises(ValueError, match=r"a stored ledger|buffer|size|shape|broadcast"):
        unpack(packed)
    with pytest.raises(ValueError, match=r"a stored ledger|buffer|size"):
        stored_rows_of(packed[place])


def test_the_id_of_a_signal_holds_still() -> None:
    # Stored ledgers name signals by it.
    assert {name: signal_id(name) for name in ("purchase", "page_view")} == {
        "purchase": 8_941_339,
        "page_view": 30_546_327,
    }


@pytest.mark.parametrize("sign", [1, -1])
def test_amounts_that_cannot_be_added_exactly_are_refused_and_never_wrapped(sign: int) -> None:
    huge = (0, 7, 1, 0, 1, sign * (VALUE_MAX - 5))
    ledgers = folded([huge])
    assert rows_of(fold(ledgers, ledgers_of([(1, *huge[1:])]))) == [huge, (1, *huge[1:])]
    for day in (1, 2):
        with pytest.raises(OverflowError):
            fold(ledgers, ledgers_of([(0, 7, day, 0, 1, sign * (VALUE_MAX - 5))]))
