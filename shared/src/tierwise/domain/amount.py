"""Amounts of money as they come in: bounded, so that no sum of them can overflow."""

import re

_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,4})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)

AMOUNT_RULE = (
    "a decimal string or number, not negative (a refund is a type of its own), "
    "with at most 12 digits before and 4 after the point"
)


def decimal_amount(value: object) -> str | None:
    """`value` as a plain decimal string, None unless it follows AMOUNT_RULE."""
    if isinstance(value, float):
        value = repr(value)  # the shortest decimal that means this float; large and tiny ones have an exponent
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value < 10**12 else None
    return value if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def is_currency(value: object) -> bool:
    """Three capital letters, as in ISO 4217."""
    return isinstance(value, str) and _CURRENCY.fullmatch(value) is not None
