"""The kinds of attribute that add up: sums and sets, and a name that is of several kinds.

Each kind is a commutative monoid by itself, and so is a name that has several: none of them looks at another until the
value is asked for (`resolve`). All that depends on time there is decided between facts that are still told apart:
a sum keeps its newest instants, older ones by day (UTC); a set keeps its newest elements.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

INSTANTS_KEPT: Final = 50
DAYS_KEPT: Final = 400
"""Of a sum: what is older than the newest instants is kept by day, what is older than those days in one number."""
ELEMENTS_KEPT: Final = 100
"""Of a set, the newest."""

UNITS: Final = 10_000
"""Of a sum, in 1: whole numbers add up to the same in any order."""

_DAY_US: Final = 86_400_000_000
_INT64: Final = range(-(1 << 63), 1 << 63)
_Pairs = dict[int, int]


def sum_of(number: float, time_us: int) -> list[Any]:
    """The sum that one number makes: [[instant, units], ...] and [[day, units], ...]."""
    return [[[time_us, round(number * UNITS)]], []]


def added(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    instants, days = (_together(one[part], other[part]) for part in (0, 1))
    for time_us in sorted(instants)[:-INSTANTS_KEPT]:
        day = time_us // _DAY_US
        days[day] = days.get(day, 0) + instants.pop(time_us)
    old = sorted(days)[:-DAYS_KEPT]
    if old:
        days[old[-1]] = sum(days.pop(day) for day in old)
    return [_pairs(instants), _pairs(days)]


def total(sum_: Sequence[Any], since_us: int | None) -> float | None:
    """Of what was added at that time or later, None where nothing was; of the day of that time, where days are all that
    is left, what was added on it."""
    counted = [
        int(units)
        for moments, last_us in ((sum_[0], _same), (sum_[1], _end_of_day))
        for moment, units in moments
        if since_us is None or last_us(moment) >= since_us
    ]
    return _number(sum(counted)) if counted else None


def united(one: Iterable[Sequence[Any]], other: Iterable[Sequence[Any]]) -> list[Any]:
    """Sets of elements [time_us, name, sealed]: `name` tells it from others, and is the value where nothing is sealed.
    Of an element that was appended twice the later time is kept."""
    newest: dict[str, Sequence[Any]] = {}
    for element in (*one, *other):
        held = newest.get(element[1])
        if held is None or (element[0], element[2] or b"") > (held[0], held[2] or b""):
            newest[element[1]] = element
    return sorted((list(element) for element in newest.values()), key=_by_time)[-ELEMENTS_KEPT:]


def elements(set_: Iterable[Sequence[Any]], since_us: int | None) -> list[Any]:
    """The values, oldest first, of what was appended at that time or later."""
    kept = (one for one in set_ if since_us is None or one[0] >= since_us)
    return [name if sealed is None else sealed for _, name, sealed in kept]


def with_total(base: Any, more: float | None) -> Any:
    """Something is added to a number, or to nothing; any other value is left as it is."""
    if more is None or base is None:
        return more if base is None else base
    if isinstance(base, bool) or not isinstance(base, int | float):
        return base
    result = base + more
    if isinstance(result, float):
        return round(result, 4)
    return result if result in _INT64 else float(result)


def with_elements(base: Any, more: list[Any]) -> Any:
    """Something is appended to a list, or to nothing; any other value is left as it is."""
    if not more or not (base is None or isinstance(base, list)):
        return base
    held = base or []
    return [*held, *(element for element in more if element not in held)]


def _together(one: Iterable[Sequence[Any]], other: Iterable[Sequence[Any]]) -> _Pairs:
    found: _Pairs = {}
    for moment, units in (*one, *other):
        found[moment] = found.get(moment, 0) + int(units)
    return found


def _pairs(found: _Pairs) -> list[list[Any]]:
    """A number that leaves 64 bits, which is all that is packed, is written as text."""
    return [[moment, units if units in _INT64 else str(units)] for moment, units in sorted(found.items())]


def _number(units: int) -> float:
    return units / UNITS if units % UNITS else units // UNITS


def _same(time_us: int) -> int:
    return time_us


def _end_of_day(day: int) -> int:
    return (day + 1) * _DAY_US - 1


def _by_time(element: Sequence[Any]) -> tuple[int, str]:
    return element[0], element[1]
