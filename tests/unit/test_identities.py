"""Who is who at a time: what came together by then is one customer, in whatever order it came."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierwise.classifying.identities import Identities, ranks
from tierwise.domain.interaction import Interaction

MOMENT = datetime(2026, 11, 20, tzinfo=UTC)

groups = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 12), min_size=1, max_size=3, unique=True)), max_size=40
)


def seen(identifiers: Sequence[int]) -> Interaction:
    named = {kind: str(number) for kind, number in zip(("user_id", "email", "phone"), identifiers, strict=False)}
    return Interaction(
        id="1", source="s", time=MOMENT, received=MOMENT, channel="web", type="page_view", identifiers=named
    )


def partition(identities: Identities, period: int) -> set[frozenset[tuple[str, str]]]:
    names = identities.identifiers()
    present, customers = identities.customers(period)
    return {frozenset(names[number] for number in present[customers == one].tolist()) for one in set(customers)}


def expected(came: Sequence[tuple[int, Interaction]], period: int) -> set[frozenset[tuple[str, str]]]:
    found: set[frozenset[tuple[str, str]]] = set()
    for since, interaction in came:
        if since <= period:
            tied = {one for one in found if one & interaction.identifiers.items()}
            found = found - tied | {frozenset(interaction.identifiers.items()).union(*tied)}
    return found


@given(groups, st.integers(1, 7))
def test_identifiers_that_came_together_by_then_are_one_customer(drawn: list[tuple[int, list[int]]], size: int) -> None:
    came = [(period, seen(identifiers)) for period, identifiers in drawn]
    identities = Identities()
    for start in range(0, len(came), size):
        batch = came[start : start + size]
        periods = np.array([period for period, _ in batch], np.int64)
        owners = identities.add([interaction for _, interaction in batch], periods)
        names = identities.identifiers()
        for owner, (_, interaction) in zip(owners.tolist(), batch, strict=True):
            assert names[owner] in interaction.identifiers.items()
    for period in range(3):
        assert partition(identities, period) == expected(came, period)


def test_a_chain_of_any_length_is_one_customer() -> None:
    links = [seen([number, number + 1]) for number in range(4_000)]
    identities = Identities()
    identities.add(links[::-1], np.zeros(len(links), np.int64))
    chain = [{"user_id": str(number), "email": str(number)} for number in range(4_000)]
    identities.add([seen([number, number]) for number in range(len(chain))], np.zeros(len(chain), np.int64))
    _, customers = identities.customers(0)
    assert set(customers.tolist()) == {0}


def test_the_strongest_kind_comes_first_then_the_least_value() -> None:
    names = [("email", "a@b.cn"), ("user_id", "u2"), ("loyalty_card", "1"), ("user_id", "u1"), ("anonymous_id", "x")]
    alphabetical, strength = ranks(names)
    assert [names[index][0] for index in np.argsort(alphabetical)][:2] == ["anonymous_id", "email"]
    assert [names[index] for index in np.argsort(strength)] == [names[3], names[1], names[0], names[4], names[2]]
