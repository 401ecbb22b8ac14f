"""Money: integers of minor units (1/100) of the rulebook's base currency."""

from decimal import ROUND_HALF_EVEN, Decimal

_CENT = Decimal("0.01")
_ONE = Decimal(1)


def minor_units(amount: str | float, rate: Decimal = _ONE) -> int:
    """An amount as ingest lets it pass (at most 12 digits before and 4 after the point) in the base currency, of
    which `rate` units are one of the amount's; rounded half to even.

    Raises decimal.InvalidOperation when it is no number.
    """
    return int((Decimal(str(amount)) * rate).quantize(_CENT, ROUND_HALF_EVEN) * 100)


def decimal_string(units: int) -> str:
    """Minor units as people and JSON write them: 129900 is "1299.00"."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    return f"{sign}{units // 100}.{units % 100:02d}"
