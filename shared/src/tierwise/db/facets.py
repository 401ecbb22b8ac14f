"""The values of facets as numbers, so that `customer_facets` is narrow and reading all of it is quick.

Each facet numbers its values from 1 on, in the order in which they came; 0 stands for what is not known. A facet is
named as the column that it is in; of the tags, which are bits of one column, it is TAG, of the interests INTEREST.
"""

from collections.abc import Collection, Iterable
from typing import Final

import asyncpg

ATTRIBUTES: Final = (
    "region", "industry", "first_touch", "last_touch", "city_tier", "age_group", "gender", "occupation",
    "company_size", "customer_type", "owner",
)  # fmt: skip
"""Facets of what is known of a customer: columns of `customer_facets`."""

TEXTS: Final = ("tier", "intent", "stage", "preferred_channel", *ATTRIBUTES)
"""All facets that are a column with one value."""

TAG: Final = "tag"
INTEREST: Final = "interest"
UNKNOWN: Final = 0

Value = tuple[str, str]
"""Facet and value: ('region', 'CN-31'), ('tag', 'behaviour.browsing:high')."""


async def numbers_of(tx: asyncpg.Connection, values: Collection[Value]) -> dict[Value, int]:
    """The number of each, given to those that have none. `tx`: in a transaction, READ COMMITTED, that takes no lock on
    customers hereafter: whoever has numbers to give holds the others with new values back until it ends."""
    if not values:
        return {}
    found = await _numbered(tx, values)
    new = sorted(set(values) - found.keys())
    if new:
        await tx.execute("LOCK TABLE facet_values IN SHARE ROW EXCLUSIVE MODE")
        await tx.execute(_NUMBER, *_arrays(new))
        found |= await _numbered(tx, new)
    return found


async def _numbered(tx: asyncpg.Connection, values: Collection[Value]) -> dict[Value, int]:
    rows = await tx.fetch(
        """SELECT facet, value, number FROM facet_values
           JOIN unnest($1::text[], $2::text[]) AS wanted (facet, value) USING (facet, value)""",
        *_arrays(values),
    )
    return {(facet, value): number for facet, value, number in rows}


_NUMBER: Final = """
    INSERT INTO facet_values (facet, value, number)
    SELECT facet, value, row_number() OVER (PARTITION BY facet ORDER BY value)
                         + (SELECT coalesce(max(number), 0) FROM facet_values AS held WHERE held.facet = new.facet)
    FROM unnest($1::text[], $2::text[]) AS new (facet, value)
    WHERE NOT EXISTS (SELECT FROM facet_values AS held WHERE (held.facet, held.value) = (new.facet, new.value))"""

NAMED: Final = """
    SELECT facet, number, value FROM facet_values
    JOIN unnest($1::text[], $2::int[]) AS wanted (facet, number) USING (facet, number)"""
"""The values of these ($1 facets, $2 numbers)."""


def _arrays(values: Collection[Value]) -> tuple[list[str], list[str]]:
    return [facet for facet, _ in values], [value for _, value in values]


def bits_of(numbers: Iterable[int]) -> bytes:
    """A set of numbers, number n as bit n % 8 of byte n // 8: PostgreSQL's `get_bit(bytea, n)`."""
    packed = 0
    for number in numbers:
        packed |= 1 << number
    return packed.to_bytes((packed.bit_length() + 7) // 8, "little")


def numbers_in(bits: bytes) -> list[int]:
    """The numbers of `bits_of`, ascending."""
    packed = int.from_bytes(bits, "little")
    return [number for number in range(packed.bit_length()) if packed >> number & 1]
