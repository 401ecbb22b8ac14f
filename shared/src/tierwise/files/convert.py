"""How the text of a column is read: whole numbers, money, times, lists, by a map.

Each function here answers a function from what stands in the column to its value; that one raises ValueError saying
what cannot be read.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from tierwise.files.mapping import Column


def conversion(value: Column, zone: str | None) -> Callable[[Any], Any]:
    if value.map is not None:
        return _by_map(value.map, value.otherwise)
    if value.as_ == "time":
        return _time_reader(value, value.zone or zone)
    if value.as_ == "list":
        separator = value.separator
        return lambda raw: [part for piece in str(raw).split(separator) if (part := piece.strip())]
    numeric: dict[str, Callable[[str], Any]] = {"integer": _integer, "number": _number, "money": _money}
    if value.as_ in numeric:
        plain_read, point = numeric[value.as_], value.decimal

        def read(raw: Any) -> Any:
            return plain_read(_with_point(str(raw), point))

        return (lambda raw: _absolute(read(raw))) if value.absolute else read
    plain: dict[str | None, Callable[[Any], Any]] = {"text": str, "boolean": _boolean, "scalar": _scalar}
    return plain.get(value.as_, _as_it_is)


def _with_point(text: str, decimal: str) -> str:
    """A point before the cents; the other sign parts thousands."""
    return text if decimal == "." else text.replace(".", "").replace(",", ".")


def _absolute(number: Any) -> Any:
    return number.removeprefix("-") if isinstance(number, str) else abs(number)


def _by_map(table: dict[str, Any], otherwise: Any) -> Callable[[Any], Any]:
    def look_up(raw: Any) -> Any:
        found = table.get(str(raw), otherwise)
        if found is None:
            raise ValueError(f"{str(raw)[:80]!r} is not in its map, and `otherwise` is not given")
        return found

    return look_up


def _as_it_is(raw: Any) -> Any:
    """Text as read; of Parquet and NDJSON what JSON can hold, the rest as text."""
    if isinstance(raw, (datetime, date)):
        return raw.isoformat()
    return raw if isinstance(raw, (str, bool, int, float, list, dict)) else str(raw)


_TRUE = frozenset({"true", "yes", "y", "1", "t", "是"})
_FALSE = frozenset({"false", "no", "n", "0", "f", "否"})
_NOT_NUMERIC = re.compile(r"[,\s¥￥$€£元_]")


def _boolean(raw: Any) -> bool:
    text = str(raw).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"{text[:80]!r} is neither yes nor no")


_ISO = "iso"


def _parsed(raw: Any, forms: Sequence[str]) -> datetime:
    """By the first form that fits."""
    for form in forms:
        try:
            if form in ("epoch_s", "epoch_ms"):
                return datetime.fromtimestamp(float(raw) / (1000 if form == "epoch_ms" else 1), UTC)
            if form == _ISO:
                return datetime.fromisoformat(str(raw))
            return datetime.strptime(str(raw), form)  # noqa: DTZ007  (the zone follows)
        except (ValueError, OverflowError, OSError):
            continue
    raise ValueError(f"{str(raw)[:80]!r} is no time of the form {' or '.join(forms)}")


_CONSTANTS = {"true": True, "false": False}
_CANONICAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,14})?", re.ASCII)


def _scalar(raw: Any) -> Any:
    """Only what JSON itself would write as a number becomes one: 007 is somebody's key and no number."""
    if not isinstance(raw, str):
        return _as_it_is(raw)
    if raw in _CONSTANTS:
        return _CONSTANTS[raw]
    if (match := _CANONICAL.fullmatch(raw)) is None:
        return raw
    return float(raw) if match[2] else int(raw)


def _money(raw: Any) -> str:
    """A decimal string; a comma is taken for a thousands separator."""
    try:
        amount = Decimal(_NOT_NUMERIC.sub("", str(raw)))
    except InvalidOperation:
        raise ValueError(f"{str(raw)[:80]!r} is no amount") from None
    if not amount.is_finite():
        raise ValueError(f"{str(raw)[:80]!r} is no amount")
    return format(amount, "f")


def _number(raw: Any) -> float:
    try:
        return float(_money(raw))
    except ValueError:
        raise ValueError(f"{str(raw)[:80]!r} is no number") from None


def _integer(raw: Any) -> int:
    number = _number(raw)
    if number != int(number):
        raise ValueError(f"{str(raw)[:80]!r} is no whole number")
    return int(number)


def _time_reader(value: Column, zone: str | None) -> Callable[[Any], str]:
    """Answers RFC 3339 with a zone."""
    tz = ZoneInfo(zone) if zone else None
    at = time.fromisoformat(value.at) if value.at else None
    forms = (value.format,) if isinstance(value.format, str) else value.format or (_ISO,)

    def read(raw: Any) -> str:
        if isinstance(raw, datetime):
            moment = raw
        elif isinstance(raw, date):
            moment = datetime.combine(raw, time())
        else:
            moment = _parsed(raw, forms)
        if at is not None:
            moment = moment.replace(hour=at.hour, minute=at.minute, second=at.second)
        if moment.tzinfo is None:
            if tz is None:
                raise ValueError(f"{str(raw)[:80]!r} names no time zone, and the mapping has no `zone`")
            moment = moment.replace(tzinfo=tz)
        return moment.isoformat()

    return read
