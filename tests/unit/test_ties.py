"""Who is who by the interactions and by what people ruled: whatever came first."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tierwise.domain.ruling import Named, Ruling, encode, ruling_of
from tierwise.domain.ties import Naming, Rulings, Word, components, is_erased, rulings_of, tie_of

START = datetime(2026, 11, 20, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def naming(
    named: Sequence[str], minute: int = 0, *, received: int = 99, links: bool = True, by_hand: bool = False
) -> Naming:
    return Naming([one.encode() for one in named], links, by_hand, at(minute), at(received))


def word(hash_: str, ruling: str, minute: int, *, key: int = 0, side: int = 0) -> Word:
    return Word(hash_.encode(), ruling, b"%d" % key, side, at(minute))


def split(one: str, other: str, minute: int = 0, *, key: int = 0) -> list[Word]:
    return [
        word(hash_, "split", minute, key=key, side=side) for side, part in enumerate((one, other)) for hash_ in part
    ]


def tie(named: str, words: Sequence[Word], minute: int = 0, **fields: bool) -> str:
    return b"".join(tie_of(naming(named, minute, **fields), rulings_of(words))).decode()


def test_without_rulings_an_interaction_ties_all_its_identifiers_if_its_source_may() -> None:
    assert tie("abc", []) == "abc"
    assert tie("abc", [], links=False) == "a"


def test_a_blocked_identifier_ties_nothing_and_stands_for_itself_where_there_is_no_other() -> None:
    blocked = [word("b", "block", 1)]
    assert (tie("abc", blocked), tie("b", blocked)) == ("ac", "b")
    assert tie("bd", [*blocked, word("d", "block", 1)]) == "b"
    assert tie("ab", [*blocked, word("b", "unblock", 2)]) == "ab"
    assert tie("ab", [word("b", "unblock", 2), word("b", "block", 3), *blocked]) == "a"


def test_what_names_both_sides_of_a_split_goes_with_the_strongest() -> None:
    apart = split("a", "bc")
    assert [tie(named, apart) for named in ("ab", "ba", "bca", "abcd")] == ["a", "b", "bc", "ad"]
    assert tie("bd", apart) == "bd"


def test_only_a_merge_by_hand_that_came_later_ties_again_what_was_split() -> None:
    apart = split("a", "b", 5)
    assert tie("ab", apart, 9) == "a"
    assert [tie("ab", apart, minute, by_hand=True) for minute in (4, 5, 6)] == ["a", "a", "ab"]
    assert tie("ab", [*apart, *split("a", "b", 7, key=1)], 6, by_hand=True) == "a"


def test_what_happened_before_an_erasure_is_gone_however_late_it_comes() -> None:
    rulings = rulings_of([word("a", "erase", 5), word("a", "erase", 3, key=1)])
    assert [is_erased(naming("ba", minute), rulings) for minute in (4, 5, 6)] == [True, True, False]
    assert is_erased(naming("a", 6, received=5), rulings)
    assert not is_erased(naming("b", 4), rulings)
    assert not is_erased(naming("ba", 4, links=False), rulings)


NAMES = "abcdef"
namings = st.builds(
    naming,
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.integers(0, 9),
    links=st.booleans(),
    by_hand=st.booleans(),
)
words = st.one_of(
    st.builds(lambda hash_, ruling, minute, key: [word(hash_, ruling, minute, key=key)],
              st.sampled_from(NAMES), st.sampled_from(["block", "unblock", "erase"]), st.integers(0, 9),
              st.integers(10, 99)),
    st.builds(lambda parts, cut, minute, key: split("".join(parts[:cut]), "".join(parts[cut:]), minute, key=key),
              st.permutations(NAMES), st.integers(1, 5), st.integers(0, 9), st.integers(100, 199)),
)  # fmt: skip


def persons(came: Sequence[Naming], rulings: Rulings) -> set[frozenset[bytes]]:
    ties = [tie_of(one, rulings) for one in came if not is_erased(one, rulings)]
    found: dict[bytes, set[bytes]] = {}
    for hash_, of in components(ties).items():
        found.setdefault(of, set()).add(hash_)
    return {frozenset(one) for one in found.values()}


@given(st.lists(namings, max_size=12), st.lists(words, max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_interactions_and_rulings_came_makes_no_difference(
    came: list[Naming], ruled: list[list[Word]], random: object
) -> None:
    said = list({(one.hash, one.key): one for several in ruled for one in several}.values())
    expected = persons(came, rulings_of(said))
    random.shuffle(came)  # type: ignore[attr-defined]
    random.shuffle(said)  # type: ignore[attr-defined]
    assert persons(came, rulings_of(said)) == expected


@given(namings, st.lists(words, max_size=6))
def test_no_split_is_within_what_one_interaction_ties(one: Naming, ruled: list[list[Word]]) -> None:
    said = list({(one.hash, one.key): one for several in ruled for one in several}.values())
    tied = set(tie_of(one, rulings_of(said)))
    assert tied
    assert tied <= set(one.hashes)
    for key in {said_.key for said_ in said if said_.ruling == "split"}:
        sides = {said_.side for said_ in said if said_.key == key and said_.hash in tied}
        assert one.by_hand or len(sides) < 2


def test_a_ruling_is_read_as_it_was_written_and_nothing_else_is_one() -> None:
    ruling = Ruling(
        ruling="block",
        id="li:1",
        author="li",
        time=START,
        identifiers=("0" * 32,),
        named=Named("email", "info@example.com"),
        reason="a mailbox",
    )
    assert ruling_of(encode(ruling)) == ruling
    for wrong in (b"{}", b"x", encode(ruling).replace(b"block", b"bless"), encode(ruling).replace(b"0" * 32, b"0")):
        assert ruling_of(wrong) is None
