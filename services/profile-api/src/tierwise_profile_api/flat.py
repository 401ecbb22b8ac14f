"""Customers as flat rows, for spreadsheets and data frames: what can be asked for, one column each, and the sequence
that it is of.

A page comes as one row: its numbers are packed one customer after the other, for NumPy to read in place, so that
neither the driver nor we touch values one by one that need not be.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.db.facets import INTEREST, TAG, numbers_in
from tierwise.domain.customer_id import public_ids
from tierwise.finding.conditions import ASKED, TOUCHES
from tierwise_profile_api.facet_names import FacetNames
from tierwise_profile_api.facet_words import Word
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.reads import Row

TEXTS: Final = ("tier", "intent", "stage", *ASKED, *TOUCHES, "preferred_channel")
"""Columns that have one of a facet's values."""

_NUMBERS: Final = ("sequence", "tier_score", "score", "orders", "amount")
_MOMENTS: Final = ("first_seen", "last_seen")
_PACKED: Final = ("customer_id", *_MOMENTS, *_NUMBERS, *TEXTS)
_ROW: Final = np.dtype([("columns", "V4"), ("cells", [("type and length", "V8"), ("value", ">i8")], len(_PACKED))])
"""As record_send of PostgreSQL writes a row of numbers of 64 bits."""

_EPOCH_2000: Final = np.datetime64("2000-01-01", "us")
"""From which PostgreSQL counts microseconds."""

Ints = npt.NDArray[np.int64]


class Texts(NamedTuple):
    """A column of few texts: each once, None for what is not known, and by customer the place of theirs."""

    values: list[str | None]
    places: npt.NDArray[np.intp]


class FlatPage(NamedTuple):
    """Some customers by id, the columns by name. `last`: the id of the last one, -1 where there is nobody.

    `numbers`: sequence, tier_score in hundredths, score (of intent) in tenths, orders, amount in minor units.
    `moments`: first_seen and last_seen, datetime64[us]. `tags`, `interests`: with | between."""

    last: int
    customer_ids: list[str]
    numbers: dict[str, Ints]
    moments: dict[str, npt.NDArray[np.datetime64]]
    tags: list[str]
    interests: list[str]
    texts: dict[str, Texts]


def flat_page(filters: Filters, after: int, limit: int) -> Page:
    """The next ones after an id, each as one moment had it. `limit` is written out: to a plan that does not know it a
    page looks like a third of everyone. The sequence is looked up, not joined: a plan may join by reading `customers`
    from its beginning, page after page."""
    facets = ", ".join(f"f.{name}" for name in _PACKED if name != "sequence")
    numbers = ", ".join(name if name in _MOMENTS else f"{name}::bigint" for name in _PACKED)
    return Page(
        f"""SELECT string_agg(record_send(ROW({numbers})), '') AS packed, array_agg(tags) AS tags,
                   array_agg(interests) AS interests
            FROM (SELECT {facets}, (SELECT c.sequence FROM customers c WHERE c.id = f.customer_id) AS sequence,
                         f.tags, array_to_string(f.interests, '|') AS interests
                  FROM customer_facets f WHERE {filters.sql} AND f.customer_id > ${len(filters.values) + 1}::bigint
                  ORDER BY f.customer_id LIMIT {limit:d}) page""",
        [*filters.values, after],
    )


async def unpacked(row: Row, names: FacetNames, word: Word) -> FlatPage:
    """`row`: of `flat_page`. Raises Unavailable."""
    cells = np.frombuffer(row["packed"] or b"", _ROW)["cells"]["value"].T.astype(np.int64)
    columns = dict(zip(_PACKED, cells, strict=True))
    ids = columns["customer_id"]
    return FlatPage(
        last=int(ids[-1]) if len(ids) else -1,
        customer_ids=public_ids(ids),
        numbers={name: columns[name] for name in _NUMBERS},
        moments={name: _EPOCH_2000 + columns[name].astype("timedelta64[us]") for name in _MOMENTS},
        tags=await _tags(row["tags"] or (), names, word),
        interests=await _interests(row["interests"] or (), names, word),
        texts={facet: await _texts(facet, columns[facet], names, word) for facet in TEXTS},
    )


async def _texts(facet: str, numbers: Ints, names: FacetNames, word: Word) -> Texts:
    distinct, places = np.unique(numbers, return_inverse=True)
    known = await names.of(facet, distinct.tolist())
    values = [known[number] for number in distinct.tolist()]
    return Texts([None if value is None else word(facet, value) for value in values], places)


async def _tags(packed: Sequence[bytes], names: FacetNames, word: Word) -> list[str]:
    """Byte by byte, since few customers have the same tags but many the same eighth of them."""
    eighths = {pair for bits in set(packed) for pair in enumerate(bits)}
    numbers = {(place, byte): numbers_in(bytes(place) + bytes([byte])) for place, byte in eighths}
    words = await _words(TAG, {number for some in numbers.values() for number in some}, names, word)
    texts = {eighth: "".join(f"|{words[number]}" for number in some) for eighth, some in numbers.items()}
    return ["".join([texts[pair] for pair in enumerate(bits)])[1:] for bits in packed]


async def _interests(packed: Sequence[str], names: FacetNames, word: Word) -> list[str]:
    """In the alphabet's order."""
    numbers = {number for some in set(packed) if some for number in some.split("|")}
    words = await _words(INTEREST, {int(number) for number in numbers}, names, word)
    texts = {number: words[int(number)] for number in numbers}
    return ["|".join(sorted([texts[number] for number in some.split("|")])) if some else "" for some in packed]


async def _words(facet: str, numbers: set[int], names: FacetNames, word: Word) -> dict[int, str]:
    known = await names.of(facet, numbers)
    return {number: word(facet, str(known[number])) for number in numbers}
