"""Customers as flat rows, for spreadsheets and data frames: what can be asked for, one column each, and the sequence
that it is of.

A page comes as one row of packed columns, so that neither the driver nor we touch values one by one that need not be.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tierwise.db.facets import INTEREST, TAG, numbers_in
from tierwise.domain.customer_id import public_ids
from tierwise.domain.money import decimal_string
from tierwise.finding.conditions import ASKED, TOUCHES
from tierwise_profile_api.facet_names import FacetNames
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.reads import Row

_TEXTS: Final = ("tier", "intent", "stage", *ASKED, *TOUCHES, "preferred_channel")
_TIME: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("tier_score", pa.float64(), nullable=False),
        pa.field("intent_score", pa.float64(), nullable=False),
        pa.field("orders", pa.int32(), nullable=False),
        pa.field("amount", pa.decimal128(20, 2), nullable=False),
        pa.field("first_seen", _TIME, nullable=False),
        pa.field("last_seen", _TIME, nullable=False),
        pa.field("tags", pa.string(), nullable=False),
        pa.field("interests", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in _TEXTS),
    ]
)
COLUMNS: Final = tuple(SCHEMA.names)

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run: a text that begins so gets a ' in front."""

_NUMBERS: Final = ("sequence", "tier_score", "score", "orders", *_TEXTS)
_WIDE: Final = ("customer_id", "amount")
_MOMENTS: Final = ("first_seen", "last_seen")
_EPOCH_2000: Final = np.datetime64("2000-01-01", "us")

Ints = npt.NDArray[np.int64]


class FlatPage(NamedTuple):
    """Some customers by id. `last`: the id of the last one; `columns`: by the names of COLUMNS, times as datetime64[us]
    and amounts in minor units, texts None where they are not known."""

    customers: int
    last: int
    columns: dict[str, Any]


def flat_page(filters: Filters, after: int, limit: int) -> Page:
    """The next ones after an id, each as one moment had it. `limit` is written out: to a plan that does not know it a
    page looks like a third of everyone, best read by joining whole tables."""
    number = len(filters.values)
    texts = ", ".join(f"f.{name}" for name in _TEXTS)
    packed = [f"string_agg(int4send({name}::int), '') AS {name}" for name in _NUMBERS]
    packed += [f"string_agg(int8send({name}), '') AS {name}" for name in _WIDE]
    packed += [f"string_agg(timestamptz_send({name}), '') AS {name}" for name in _MOMENTS]
    packed += [f"array_agg({name}) AS {name}" for name in ("tags", "interests")]
    return Page(
        f"""SELECT count(*) AS customers, {", ".join(packed)}
            FROM (SELECT f.customer_id, c.sequence, f.tier_score, f.score, f.orders, f.amount, f.first_seen,
                         f.last_seen, f.tags, array_to_string(f.interests, '|') AS interests, {texts}
                  FROM customer_facets f JOIN customers c ON c.id = f.customer_id
                  WHERE {filters.sql} AND f.customer_id > ${number + 1}::bigint
                  ORDER BY f.customer_id LIMIT {limit:d}) page""",
        [*filters.values, after],
    )


async def unpacked(row: Row, names: FacetNames) -> FlatPage:
    """`row`: of `flat_page`. Raises Unavailable."""
    if not row["customers"]:
        return FlatPage(0, -1, {name: [] for name in COLUMNS})
    ids = _ints(row["customer_id"], ">i8")
    columns: dict[str, Any] = {
        "customer_id": public_ids(ids),
        "sequence": _ints(row["sequence"]).tolist(),
        "tier_score": (_ints(row["tier_score"]) / 100).tolist(),
        "intent_score": (_ints(row["score"]) / 10).tolist(),
        "orders": _ints(row["orders"]).tolist(),
        "amount": _ints(row["amount"], ">i8").tolist(),
        "tags": await _tags(row["tags"], names),
        "interests": await _interests(row["interests"], names),
    }
    for name in _MOMENTS:
        columns[name] = _EPOCH_2000 + _ints(row[name], ">i8").astype("timedelta64[us]")
    for facet in _TEXTS:
        numbers = _ints(row[facet])
        known = np.flatnonzero(np.bincount(numbers)).tolist()
        shown = await names.of(facet, known)
        texts = np.empty(known[-1] + 1, object)
        texts[known] = [shown[number] for number in known]
        columns[facet] = texts[numbers].tolist()
    return FlatPage(len(ids), int(ids[-1]), columns)


def _ints(packed: bytes, type_: str = ">i4") -> Ints:
    return np.frombuffer(packed, type_).astype(np.int64)


async def _tags(packed: Sequence[bytes], names: FacetNames) -> list[str]:
    """Byte by byte, since few customers have the same tags but many the same eighth of them."""
    eighths = {pair for bits in set(packed) for pair in enumerate(bits)}
    numbers = {(place, byte): numbers_in(bytes(place) + bytes([byte])) for place, byte in eighths}
    known = await names.of(TAG, {number for some in numbers.values() for number in some})
    texts = {eighth: "".join(f" {known[number]}" for number in some) for eighth, some in numbers.items()}
    return ["".join([texts[pair] for pair in enumerate(bits)])[1:] for bits in packed]


async def _interests(packed: Sequence[str], names: FacetNames) -> list[str]:
    """In the alphabet's order."""
    numbers = {number for some in set(packed) if some for number in some.split("|")}
    known = await names.of(INTEREST, map(int, numbers))
    texts = {number: str(known[int(number)]) for number in numbers}
    return ["|".join(sorted([texts[number] for number in some.split("|")])) if some else "" for some in packed]


def as_csv(page: FlatPage) -> bytes:
    text = io.StringIO()
    shown = page.columns | {name: _harmless(page.columns[name]) for name in ("tags", "interests", *_TEXTS)}
    csv.writer(text).writerows(_rows(shown))
    return text.getvalue().encode()


def csv_heading() -> bytes:
    """With a byte order mark, for Excel."""
    text = io.StringIO()
    csv.writer(text).writerow(COLUMNS)
    return text.getvalue().encode("utf-8-sig")


def as_lines(page: FlatPage) -> bytes:
    """Each an object of JSON."""
    return _encoder.encode_lines([dict(zip(COLUMNS, row, strict=True)) for row in _rows(page.columns)])


_encoder = msgspec.json.Encoder()


def as_batch(page: FlatPage) -> pa.RecordBatch:
    """By SCHEMA."""
    columns = page.columns | {"amount": _decimals(page.columns["amount"])}
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _rows(columns: dict[str, Any]) -> Iterable[tuple[Any, ...]]:
    shown = columns | {
        "amount": map(decimal_string, columns["amount"]),
        **{name: _rfc3339(columns[name]) for name in _MOMENTS},
    }
    return zip(*(shown[name] for name in COLUMNS), strict=True)


def _rfc3339(moments: Any) -> list[str]:
    """In UTC, with Z, and a fraction only where there is one: as `tierwise.domain.change.rfc3339`."""
    texts = np.datetime_as_string(np.asarray(moments, "datetime64[us]"))
    return [f"{text.removesuffix('.000000')}Z" for text in texts.tolist()]


def _harmless(texts: Sequence[str | None]) -> Sequence[str | None]:
    if not any(text.startswith(_FORMULA) for text in set(texts) if text):
        return texts
    return [f"'{text}" if text and text.startswith(_FORMULA) else text for text in texts]


def _decimals(units: Sequence[int]) -> pa.Array:
    """Minor units as decimals: 128 bits each, the lower ones first."""
    lower = np.array(units, np.int64)
    both = np.column_stack([lower, lower >> 63])
    return pa.Array.from_buffers(pa.decimal128(20, 2), len(lower), [None, pa.py_buffer(both.tobytes())])
