"""The words of names: what is kept of a name is what it is found by."""

import pytest

from tests.support.kernel import Unsealed
from tierwise.domain.attributes import Entry, Kind, merge
from tierwise.domain.name_words import entries_of, words, words_held

SEAL = Unsealed()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Zhang Wei", ["zhang", "wei"]),
        ("ＺＨＡＮＧ－wei", ["zhang", "wei"]),
        ("王小明", ["王小明"]),
        ("Émile  Émile", ["émile"]),
        ("", []),
        (" ".join("abcdefghij"), list("abcdefgh")),
    ],
)
def test_a_name_is_folded_and_cut_into_words(name: str, expected: list[str]) -> None:
    assert words(name) == expected


def hashed(*names: str) -> tuple[int, ...]:
    return tuple(sorted(SEAL.word(word) for word in names))


def told(at: int, kind: Kind = Kind.LATEST, **names: object) -> list[tuple[str, Entry]]:
    given = [(name, Entry(kind, at, bytes([at]), value)) for name, value in names.items()]
    return given + entries_of(names, SEAL, kind=kind, time_us=at, key=bytes([at]))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_words_are_of_the_names_that_hold_in_any_order(order: tuple[int, ...]) -> None:
    said = {1: told(1, name="Li Na", nickname="Nana"), 2: told(2, name="Li Min"), 3: told(3, nickname=None)}
    held: dict[str, Entry] = {}
    for at in order:
        merge(held, said[at])
    assert words_held(held) == hashed("li", "min")


def test_a_first_name_stays_and_what_is_no_name_has_no_words() -> None:
    held: dict[str, Entry] = {}
    merge(held, told(2, Kind.FIRST, name="Later", company="Acme"))
    merge(held, told(1, Kind.FIRST, name="Sooner"))
    assert words_held(held) == hashed("sooner")
