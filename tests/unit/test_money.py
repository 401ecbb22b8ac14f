from decimal import Decimal, InvalidOperation
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tierwise.domain.money import decimal_string, minor_units

amounts = st.decimals(0, Decimal("999999999999.9999"), places=4)


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        ("1299.00", 129_900), ("0.005", 0), ("0.015", 2), ("0.025", 2), ("0.0251", 3), ("-0.015", -2), (0.1, 10),
        (15, 1_500), ("999999999999.9999", 100_000_000_000_000), ("999999999999.994", 99_999_999_999_999),
    ],
)  # fmt: skip
def test_amounts_round_half_to_even(amount: str | float, units: int) -> None:
    assert minor_units(amount) == units


@proof
@given(amounts, st.decimals(Decimal("0.00001"), Decimal(1_000), places=5))
def test_another_currency_is_rounded_once_after_its_rate(amount: Decimal, rate: Decimal) -> None:
    assert minor_units(str(amount), rate) == round(Fraction(amount) * Fraction(rate) * 100)


@proof
@given(st.integers(-(2**62), 2**62))
def test_what_people_read_is_what_was_counted(units: int) -> None:
    assert minor_units(decimal_string(units)) == units


@pytest.mark.parametrize(("units", "text"), [(0, "0.00"), (-5, "-0.05"), (129_900, "1299.00"), (-12_345, "-123.45")])
def test_minor_units_are_written_with_two_digits_after_the_point(units: int, text: str) -> None:
    assert decimal_string(units) == text


@pytest.mark.parametrize("amount", ["", "a lot", "1,5", "Infinity"])
def test_what_is_no_number_is_refused(amount: str) -> None:
    with pytest.raises(InvalidOperation):
        minor_units(amount)
