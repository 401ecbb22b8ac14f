"""Attributes are a commutative monoid: whatever the order, the grouping and the repetition, the same is held."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tierwise.domain.attributes import Attributes, Entry, Kind, entries_of, merge, pack, unpack, values

Entries = list[tuple[str, Entry]]

KINDS = {"region": Kind.LATEST, "role": Kind.LATEST, "acquisition.first": Kind.FIRST}
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5)
json_values = scalars | st.lists(scalars, max_size=3) | st.binary(max_size=5)


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    """Of a few interactions at few moments: what one interaction says of an attribute it says once."""
    said: dict[tuple[str, bytes], Entry] = {}
    times = {key: draw(st.integers(-3, 3)) for key in (b"a", b"b", b"c", b"d")}
    for _ in range(draw(st.integers(0, 12))):
        name, key = draw(st.sampled_from(sorted(KINDS))), draw(st.sampled_from(sorted(times)))
        said.setdefault((name, key), Entry(KINDS[name], times[key], key, draw(json_values)))
    return [(name, entry) for (name, _), entry in said.items()]


def held(*groups: Sequence[tuple[str, Entry]]) -> Attributes:
    attributes: Attributes = {}
    for group in groups:
        merge(attributes, group)
    return attributes


@proof
@given(entries(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(said: Entries, random: Any) -> None:
    shuffled = said.copy()
    random.shuffle(shuffled)
    assert held(shuffled) == held(said)


@proof
@given(entries(), st.integers(0, 12), st.integers(0, 12))
def test_merging_customers_in_any_grouping_gives_what_one_customer_would_hold(
    said: Entries, first: int, second: int
) -> None:
    low, high = sorted((first, second))
    a, b, c = (list(held(part).items()) for part in (said[:low], said[low:high], said[high:]))
    left = list(held(a, b).items())
    right = list(held(b, c).items())
    assert held(left, c) == held(a, right) == held(c, b, a) == held(said)


@proof
@given(entries())
def test_saying_it_twice_changes_nothing(said: Entries) -> None:
    assert held(said, said, list(held(said).items())) == held(said)


@proof
@given(entries())
def test_what_is_stored_is_read_as_it_was_and_equal_attributes_are_equal_bytes(said: Entries) -> None:
    attributes = held(said)
    assert unpack(pack(attributes)) == attributes
    assert pack(held(said[::-1])) == pack(attributes)


@pytest.mark.parametrize("kind", [Kind.LATEST, Kind.FIRST])
def test_equal_times_are_decided_by_the_key(kind: Kind) -> None:
    lesser, greater = Entry(kind, 7, b"a", "lesser"), Entry(kind, 7, b"b", "greater")
    expected = lesser if kind == Kind.FIRST else greater
    assert held([("x", lesser), ("x", greater)]) == held([("x", greater), ("x", lesser)]) == {"x": expected}


def test_null_unsets_and_an_older_value_does_not_come_back() -> None:
    unset = entries_of({"region": None}, time_us=2, key=b"b")
    older = entries_of({"region": "CN-31", "role": "owner"}, time_us=1, key=b"a")
    assert values(held(unset, older)) == {"role": "owner"}
    assert values(held(older, unset, entries_of({"region": "CN-11"}, time_us=3, key=b"c")))["region"] == "CN-11"


def test_no_attributes_are_stored_and_read() -> None:
    assert unpack(pack({})) == {}
