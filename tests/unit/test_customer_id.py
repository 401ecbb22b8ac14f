import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tierwise.domain.customer_id import internal_id, public_id

numbers = st.integers(0, 2**63 - 1)


@proof
@given(numbers)
def test_a_public_id_leads_back_to_its_customer(number: int) -> None:
    assert internal_id(public_id(number)) == number


@pytest.mark.parametrize("number", [0, 1, 2**32 - 1, 2**32, 2**63 - 1])
def test_the_first_and_the_last_customer_have_ids_of_the_same_form(number: int) -> None:
    assert internal_id(public_id(number)) == number
    assert len(public_id(number)) == 15


@proof
@given(st.text(alphabet="0123456789abcdefghjkmnpqrstvwxyz", min_size=13, max_size=13))
def test_a_text_is_the_id_of_one_customer_or_of_none(characters: str) -> None:
    number = internal_id(f"c_{characters}")
    assert number is None or public_id(number) == f"c_{characters}"


@proof
@given(st.text(max_size=20))
def test_any_other_text_is_no_id(text: str) -> None:
    number = internal_id(text)
    assert number is None or public_id(number) == text


@pytest.mark.parametrize("text", ["", "c_0000000000000i", "C_0000000000000", "c_zzzzzzzzzzzzz", "c_0000000000000 "])
def test_what_is_no_id_is_told_from_one(text: str) -> None:
    assert internal_id(text) is None


def test_neighbours_look_nothing_alike() -> None:
    ids = [public_id(number) for number in range(1, 200)]
    assert len({id_[2:8] for id_ in ids}) == len(ids)
