"""Flat rows as CSV, as lines of JSON, and as Arrow.

A text that many customers have is written once a page, and rows are woven of such pieces."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tierwise.domain.money import decimal_string
from tierwise_profile_api.flat import TEXTS, FlatPage, Ints

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
        *(pa.field(name, pa.string()) for name in TEXTS),
    ]
)
COLUMNS: Final = tuple(SCHEMA.names)

_HEADINGS: Final = {
    "customer_id": {"en": "Customer", "zh": "客户编号"},
    "sequence": {"en": "Changes", "zh": "变更序号"},
    "tier_score": {"en": "Tier score", "zh": "等级分"},
    "intent_score": {"en": "Intent score", "zh": "意向分"},
    "orders": {"en": "Orders", "zh": "订单数"},
    "amount": {"en": "Sales amount", "zh": "销售额"},
    "first_seen": {"en": "First seen (UTC)", "zh": "首次互动时间（UTC）"},
    "last_seen": {"en": "Last seen (UTC)", "zh": "最近互动时间（UTC）"},
    "tags": {"en": "Tags", "zh": "标签"},
    "interests": {"en": "Interests", "zh": "兴趣"},
    "tier": {"en": "Tier", "zh": "客户等级"},
    "intent": {"en": "Intent", "zh": "意向等级"},
    "stage": {"en": "Lifecycle stage", "zh": "生命周期阶段"},
    "region": {"en": "Region", "zh": "地区"},
    "industry": {"en": "Industry", "zh": "行业"},
    "city_tier": {"en": "City tier", "zh": "城市级别"},
    "age_group": {"en": "Age group", "zh": "年龄段"},
    "gender": {"en": "Gender", "zh": "性别"},
    "occupation": {"en": "Occupation", "zh": "职业"},
    "company_size": {"en": "Company size", "zh": "企业规模"},
    "customer_type": {"en": "Customer type", "zh": "客户类型"},
    "owner": {"en": "Owner", "zh": "负责人"},
    "first_touch": {"en": "First source", "zh": "首次来源"},
    "last_touch": {"en": "Last source", "zh": "最近来源"},
    "preferred_channel": {"en": "Preferred channel", "zh": "偏好渠道"},
}

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run: a text that begins so gets a ' in front."""


def as_csv(page: FlatPage) -> bytes:
    """RFC 4180."""
    return _woven(_cells(page, _csv_text, str), ["", *[","] * (len(COLUMNS) - 1), "\r\n"])


def csv_heading(language: str | None) -> bytes:
    """The columns' names, or what they are called in a language. With a byte order mark, without which Excel takes
    Chinese for something else."""
    headings = COLUMNS if language is None else [_HEADINGS[name][language] for name in COLUMNS]
    return f"{','.join(map(_csv_text, headings))}\r\n".encode("utf-8-sig")


def as_lines(page: FlatPage) -> bytes:
    """Each an object of JSON."""
    names = [f'"{name}":' for name in COLUMNS]
    return _woven(_cells(page, _json_text, _json_text), ["{" + names[0], *(f",{name}" for name in names[1:]), "}\n"])


def as_batch(page: FlatPage) -> pa.RecordBatch:
    """By SCHEMA."""
    columns = {
        "customer_id": page.customer_ids,
        **page.numbers,
        "tier_score": page.numbers["tier_score"] / 100,
        "intent_score": page.numbers["score"] / 10,
        "amount": _decimals(page.numbers["amount"]),
        **page.moments,
        "tags": page.tags,
        "interests": page.interests,
        **{name: pa.array(one.values, pa.string()).take(pa.array(one.places)) for name, one in page.texts.items()},
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _cells(page: FlatPage, text: Callable[[str | None], str], plain: Callable[[str], str]) -> list[list[str]]:
    """By COLUMNS. `text`: how a text is written that anybody may have made; `plain`: one of ours."""
    numbers = page.numbers
    return [
        list(map(plain, page.customer_ids)),
        _each(numbers["sequence"], str),
        _each(numbers["tier_score"], lambda hundredths: repr(hundredths / 100)),
        _each(numbers["score"], lambda tenths: repr(tenths / 10)),
        _each(numbers["orders"], str),
        _each(numbers["amount"], lambda units: plain(decimal_string(units))),
        *(_moments(moments, plain) for moments in page.moments.values()),
        list(map(text, page.tags)),
        list(map(text, page.interests)),
        *(_taken([text(value) for value in texts.values], texts.places) for texts in page.texts.values()),
    ]


def _woven(cells: Sequence[Sequence[str]], around: Sequence[str]) -> bytes:
    """Rows: a piece of `around`, a cell, the next piece, and so on."""
    pieces: Iterable[Iterable[str]] = chain.from_iterable(zip(map(repeat, around), cells, strict=False))
    return "".join(chain.from_iterable(zip(*pieces, repeat(around[-1])))).encode()


def _each(numbers: Ints, show: Callable[[int], str]) -> list[str]:
    distinct, places = np.unique(numbers, return_inverse=True)
    return _taken([show(number) for number in distinct.tolist()], places)


def _taken(texts: Sequence[str], places: npt.NDArray[np.intp]) -> list[str]:
    taken: list[str] = np.array(texts, object)[places].tolist() if texts else []
    return taken


def _moments(moments: npt.NDArray[np.datetime64], plain: Callable[[str], str]) -> list[str]:
    """In UTC, with Z, and a fraction only where there is one: as `tierwise.domain.change.rfc3339`."""
    return [plain(f"{one.removesuffix('.000000')}Z") for one in np.datetime_as_string(moments).tolist()]


def _csv_text(text: str | None) -> str:
    if not text:
        return ""
    if text.startswith(_FORMULA):
        text = f"'{text}"
    if "," in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


_encode: Final = msgspec.json.Encoder().encode


def _json_text(text: str | None) -> str:
    return _encode(text).decode()


def _decimals(units: Ints) -> pa.Array:
    """Minor units as decimals: 128 bits each, the lower ones first."""
    both = np.column_stack([units, units >> 63])
    return pa.Array.from_buffers(pa.decimal128(20, 2), len(units), [None, pa.py_buffer(both.tobytes())])
