"""What is known of a customer under one name, told the long way: all facts are looked at, and none is thrown away."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tierwise.domain.updates import Updates

_NEVER = -(1 << 62)


class Fact(NamedTuple):
    """What one interaction says. `at`: microseconds since 1970 UTC; `key` decides between equal times."""

    at: int
    key: bytes
    attributes: dict[str, Any]
    updates: Updates = Updates()


def attribute_of(name: str, said: Sequence[Fact]) -> Any:
    """None where it is not known."""
    sets = [(one.at, one.key, one.attributes[name]) for one in said if name in one.attributes]
    at, key, value = max(sets, default=(_NEVER, b"", None), key=lambda one: one[:2])
    cleared = max(((one.at, one.key) for one in said if one.updates.clear), default=(_NEVER, b""))
    if cleared > (at, key):
        at, value = cleared[0], None
    once = min(((one.at, one.key, one.updates.first[name]) for one in said if name in one.updates.first), default=None,
               key=lambda one: one[:2])  # fmt: skip
    if value is None and once is not None and once[0] >= at:
        value = once[2]
    since = [one.updates for one in said if one.at >= at]
    value = _with_numbers(value, [one.add[name] for one in since if name in one.add])
    newest: dict[str, int] = {}
    for one in said:
        for text in one.updates.append.get(name, []):
            newest[text] = max(one.at, newest.get(text, one.at))
    return _with_texts(
        value, [text for when, text in sorted((when, text) for text, when in newest.items()) if when >= at]
    )


def _with_numbers(value: Any, numbers: Sequence[float]) -> Any:
    if not numbers or type(value) not in (int, float, type(None)):
        return value
    units = sum(round(number * 10_000) for number in numbers)
    total = (value or 0) + (units // 10_000 if units % 10_000 == 0 else units / 10_000)
    return round(total, 4) if value is not None and isinstance(total, float) else total


def _with_texts(value: Any, texts: Sequence[str]) -> Any:
    if not texts or not (value is None or isinstance(value, list)):
        return value
    return [*(value or []), *(text for text in texts if text not in (value or []))]
