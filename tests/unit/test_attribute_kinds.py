"""What is added, appended, said once and cleared: commutative with each other and with what is set."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.kernel import Unsealed
from tests.support.proof import proof
from tests.support.reference_attributes import Fact, attribute_of
from tierwise.domain import attribute_parts as parts
from tierwise.domain.attributes import Attributes, Entry, entries_of, merge, pack, unpack, updated, value_of, values
from tierwise.domain.updates import Updates
from tierwise.security.personal import Vault
from tierwise.security.values import Sealer, open_values

VAULT = Vault({"identifiers": b"i" * 32, "sealing": b"s" * 32, "keys": b"k" * 32})
DAY_US = 86_400_000_000
NAMES = st.sampled_from(["points", "colours", "plan"])
numbers = st.integers(-5, 5) | st.sampled_from([0.1, 0.2, 0.3, -1.5, 1e9, -1e9])
settable: st.SearchStrategy[Any] = st.none() | st.integers(-5, 5) | st.sampled_from(["gold", "red"]) | st.just(["red"])
Entries = list[tuple[str, Entry]]


def entries(fact: Fact) -> Entries:
    said = entries_of(fact.attributes, time_us=fact.at, key=fact.key)
    return [*said, *updated(fact.updates, Unsealed(), time_us=fact.at, key=fact.key)]


def setting(at: int, **known: Any) -> Fact:
    return Fact(at, b"set%d" % at, known)


def adding(at: int, **add: Any) -> Fact:
    return Fact(at, b"k", {}, Updates(add=add))


def appending(at: int, **append: Any) -> Fact:
    return Fact(at, b"k", {}, Updates(append=append))


def first(at: int, **first: Any) -> Fact:
    return Fact(at, b"first%d" % at, {}, Updates(first=first))


def clearing(at: int) -> Fact:
    return Fact(at, b"k", {}, Updates(clear=True))


@st.composite
def facts(draw: st.DrawFn) -> list[Fact]:
    return [
        Fact(
            draw(st.integers(-3, 3)) + draw(st.sampled_from([0, 0, DAY_US, 9 * DAY_US])),
            b"key%d" % number,
            attributes=draw(st.dictionaries(NAMES, settable, max_size=1)),
            updates=Updates(
                first=draw(st.dictionaries(NAMES, settable, max_size=1)),
                add=draw(st.dictionaries(NAMES, numbers, max_size=1)),
                append=draw(st.dictionaries(NAMES, st.lists(st.sampled_from("abcdef"), max_size=3), max_size=1)),
                clear=draw(st.sampled_from([False, False, False, True])),
            ),
        )
        for number in range(draw(st.integers(0, 9)))
    ]


def held(said: Iterable[Fact]) -> Attributes:
    attributes: Attributes = {}
    for fact in said:
        merge(attributes, entries(fact))
    return attributes


def known(*said: Fact) -> dict[str, Any]:
    return values(held(said))


@pytest.fixture
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "INSTANTS_KEPT", 2)
    monkeypatch.setattr(parts, "DAYS_KEPT", 1)
    monkeypatch.setattr(parts, "ELEMENTS_KEPT", 2)


@proof
@given(facts(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(said: list[Fact], random: Any) -> None:
    _check_order(said, random)


@proof
@given(facts(), st.randoms(use_true_random=False))
@pytest.mark.usefixtures("few_are_kept")
def test_nor_does_it_where_less_is_kept_than_was_said(said: list[Fact], random: Any) -> None:
    _check_order(said, random)


def _check_order(said: list[Fact], random: Any) -> None:
    shuffled = said.copy()
    random.shuffle(shuffled)
    assert pack(held(shuffled)) == pack(held(said))


@proof
@given(facts(), st.integers(0, 9), st.integers(0, 9))
@pytest.mark.usefixtures("few_are_kept")
def test_merging_customers_in_any_grouping_gives_what_one_customer_would_hold(
    said: list[Fact], one: int, other: int
) -> None:
    low, high = sorted((one, other))
    a, b, c = (list(held(part).items()) for part in (said[:low], said[low:high], said[high:]))

    def together(*groups: Sequence[tuple[str, Entry]]) -> Attributes:
        attributes: Attributes = {}
        for group in groups:
            merge(attributes, group)
        return attributes

    left, right = list(together(a, b).items()), list(together(b, c).items())
    assert pack(together(left, c)) == pack(together(a, right)) == pack(together(c, b, a)) == pack(held(said))


@proof
@given(facts())
def test_what_is_stored_is_read_as_it_was(said: list[Fact]) -> None:
    attributes = held(said)
    assert unpack(pack(attributes)) == attributes
    assert values(unpack(pack(attributes))) == values(attributes)


@proof
@given(facts())
def test_the_value_is_what_all_facts_together_say(said: list[Fact]) -> None:
    attributes = held(said)
    for name in ("points", "colours", "plan"):
        assert value_of(attributes, name) == attribute_of(name, said)


def test_numbers_add_up_to_what_was_set_and_only_since_then() -> None:
    assert known(adding(1, points=5), setting(2, points=100), adding(3, points=10), adding(4, points=-2.5)) == {
        "points": 107.5
    }
    assert known(adding(1, points=1), adding(1, points=1)) == {"points": 2}


def test_texts_are_appended_once_each_in_the_order_of_time() -> None:
    assert known(appending(2, colours=["b", "a"]), appending(1, colours=["c", "a"])) == {"colours": ["c", "a", "b"]}
    assert known(setting(1, colours=["x"]), appending(2, colours=["y", "x"])) == {"colours": ["x", "y"]}


def test_what_is_unset_starts_again_from_nothing() -> None:
    assert known(adding(1, points=5), setting(2, points=None), adding(3, points=1)) == {"points": 1}
    assert known(appending(1, colours=["a"]), setting(2, colours=None), appending(3, colours=["b"])) == {
        "colours": ["b"]
    }
    assert known(adding(1, points=5), setting(2, points=None)) == {}


def test_what_was_set_wins_over_what_is_said_once_whenever_that_was() -> None:
    assert known(first(1, plan="a"), first(2, plan="b")) == {"plan": "a"}
    assert known(first(1, plan="a"), setting(2, plan="b"), first(3, plan="c")) == {"plan": "b"}
    assert known(setting(1, plan="b"), setting(2, plan=None), first(3, plan="c")) == {"plan": "c"}


def test_nothing_is_added_to_a_text_nor_appended_to_a_number() -> None:
    assert known(setting(1, plan="gold"), adding(2, plan=1), appending(3, plan=["x"])) == {"plan": "gold"}
    assert known(setting(1, plan=1), appending(2, plan=["x"])) == {"plan": 1}


def test_clearing_unsets_all_that_sources_said_before_and_nothing_after() -> None:
    before = [setting(1, plan="a", region="CN-31"), adding(1, points=5), appending(1, colours=["a"]), first(1, x=1)]
    assert known(*before, clearing(2)) == {}
    assert known(clearing(2), *before, setting(3, plan="b"), adding(4, points=1)) == {"plan": "b", "points": 1}


def test_clearing_leaves_what_tierwise_made_itself() -> None:
    attributes = held([setting(1, **{"acquisition.first": "search"}), clearing(2)])
    assert values(attributes) == {"acquisition.first": "search"}


def test_a_sum_of_many_numbers_stays_exact_and_small() -> None:
    attributes = held(adding(minute * 60_000_000, points=0.1) for minute in range(10_000))
    assert value_of(attributes, "points") == 1_000
    assert len(pack(attributes)) < 3_000


def test_a_set_in_between_forgets_the_days_before_it_however_many_numbers_follow() -> None:
    numbers = [adding(hour * 3_600_000_000, points=1) for hour in range(10 * 24)]
    assert known(*numbers, setting(4 * DAY_US, points=0)) == {"points": 6 * 24}
    assert known(setting(4 * DAY_US, points=0), *numbers) == {"points": 6 * 24}


def test_a_set_keeps_its_newest_elements() -> None:
    attributes = held(appending(number, colours=[f"c{number}"]) for number in range(1_000))
    assert value_of(attributes, "colours") == [f"c{number}" for number in range(900, 1_000)]


def test_sums_beyond_64_bits_are_stored() -> None:
    attributes = held(adding(1, points=1e9) for _ in range(1_000_000 // 500))
    big = [(name, entry) for name, entry in attributes.items()]
    for _ in range(12):
        merge(attributes, big := [(name, entry) for name, entry in attributes.items()])
    assert big
    assert value_of(unpack(pack(attributes)), "points") == 2_000 * 10**9 * 2**12


def test_personal_texts_are_sealed_and_still_appended_once() -> None:
    attributes: Attributes = {}
    for at in (1, 2):
        said = Updates(
            append={"address": ["Nanjing Road 1", f"Bund {at}"]}, first={"name": "Li Xiaoming"}, add={"phone": 1}
        )
        merge(attributes, updated(said, Sealer(VAULT), time_us=at, key=b"k"))
    assert b"Road" not in pack(attributes)
    assert b"Xiaoming" not in pack(attributes)
    opened = open_values(values(attributes), VAULT, masked=False)
    assert opened["name"] == "Li Xiaoming"
    assert sorted(opened["address"]) == ["Bund 1", "Bund 2", "Nanjing Road 1"]
    assert "phone" not in opened
