"""Customers as flat rows, for spreadsheets: what can be asked for, one column each, and the sequence that it is of."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tierwise.db.facets import INTEREST, TAG, numbers_in
from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.domain.money import decimal_string
from tierwise_profile_api.facet_names import FacetNames
from tierwise_profile_api.facets import ASKED, TOUCHES
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.reads import Row

_TEXTS: Final = ("tier", "intent", "stage", *ASKED, *TOUCHES, "preferred_channel")
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
                   f.tags, f.interests, {texts}
            FROM customer_facets f JOIN customers c ON c.id = f.customer_id
            WHERE {filters.sql} AND f.customer_id > ${number + 1}::bigint
            ORDER BY f.customer_id LIMIT ${number + 2}""",
        [*filters.values, after, limit],
    )


async def named(rows: Sequence[Row], names: FacetNames) -> list[tuple[Any, ...]]:
    """The rows of a page by COLUMNS, texts in place of numbers: `tags` with spaces between, `interests` with |. Raises
    Unavailable."""
    if not rows:
        return []
    ids, sequences, tier, intent, orders, amounts, first, last, tags, interests, *texts = zip(*rows, strict=True)
    tag_names = await names.of(TAG, {number for bits in set(tags) for number in numbers_in(bits)})
    tags_of = {bits: " ".join(sorted(str(tag_names[number]) for number in numbers_in(bits))) for bits in set(tags)}
    interest_names = await names.of(INTEREST, {number for some in interests for number in some})
    columns: list[Iterable[Any]] = [
        map(public_id, ids),
        sequences,
        [score / 100 for score in tier],
        [score / 10 for score in intent],
        orders,
        map(decimal_string, amounts),
        map(rfc3339, first),
        map(rfc3339, last),
        [tags_of[bits] for bits in tags],
        ["|".join(sorted(str(interest_names[number]) for number in some)) for some in interests],
    ]
    for facet, numbers in zip(_TEXTS, texts, strict=True):
        shown = await names.of(facet, numbers)
        columns.append([shown[number] for number in numbers])
    return list(zip(*columns, strict=True))


def as_csv(rows: Sequence[Sequence[Any]], *, heading: bool) -> bytes:
    """With the heading comes a byte order mark, for Excel."""
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        text.write("\ufeff")
        writer.writerow(COLUMNS)
    writer.writerows((*row[:_NUMBERS], *map(_shown, row[_NUMBERS:])) for row in rows)
    return text.getvalue().encode()


_NUMBERS: Final = COLUMNS.index("tags")


def _shown(text: str | None) -> str | None:
    return f"'{text}" if text and text.startswith(_FORMULA) else text
