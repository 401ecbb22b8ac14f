"""Customers as flat rows, for spreadsheets: what can be asked for, one column each, and the sequence that it is of."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.domain.money import decimal_string
from tierwise_profile_api.facets import ATTRIBUTES, TOUCHES
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.reads import Row

_TEXTS: Final = ("tier", "intent", "stage", *ATTRIBUTES, *TOUCHES, "preferred_channel")
COLUMNS: Final = (
    "customer_id", "sequence", "tier_score", "intent_score", "orders", "amount", "first_seen", "last_seen", "tags",
    "interests", *_TEXTS,
)  # fmt: skip

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run: a text that begins so gets a ' in front."""


def flat_page(filters: Filters, after: int, limit: int) -> Page:
    """The next ones after an id, each as one moment had it."""
    number = len(filters.values)
    texts = ", ".join(f"f.{name}" for name in _TEXTS)
    return Page(
        f"""SELECT f.customer_id, c.sequence, f.tier_score, f.score, f.orders, f.amount, f.first_seen, f.last_seen,
                   array_to_string(f.tags, ' '), array_to_string(f.interests, '|'), {texts}
            FROM customer_facets f JOIN customers c ON c.id = f.customer_id
            WHERE {filters.sql} AND f.customer_id > ${number + 1}::bigint
            ORDER BY f.customer_id LIMIT ${number + 2}""",
        [*filters.values, after, limit],
    )


def as_csv(rows: Sequence[Row], *, heading: bool) -> bytes:
    """`tags` with spaces between, `interests` with |. With the heading comes a byte order mark, for Excel."""
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        text.write("\ufeff")
        writer.writerow(COLUMNS)
    writer.writerows(_values(row) for row in rows)
    return text.getvalue().encode()


def _values(row: Row) -> list[Any]:
    number, sequence, tier, intent, orders, amount, first, last, *texts = row
    numbers = [public_id(number), sequence, tier / 100, intent / 10, orders, decimal_string(amount)]
    shown = [f"'{text}" if text and text.startswith(_FORMULA) else text for text in texts]
    return [*numbers, rfc3339(first), rfc3339(last), *shown]
