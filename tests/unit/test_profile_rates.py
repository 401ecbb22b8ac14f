"""What a process remembers of readers: how fast they ask, and the views that they were shown."""

from collections.abc import Mapping
from typing import Any

import pytest

from tierwise.security.keys import Reader
from tierwise_profile_api.rates import Rates, TooManyRequests
from tierwise_profile_api.views import Views


def reader(rate_per_s: float | None, id_: str = "k") -> Reader:
    return Reader(id=id_, name="shop", scopes=frozenset(), rate_per_s=rate_per_s)


def test_a_key_may_ask_a_seconds_worth_at_once_and_then_at_its_rate() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    for _ in range(4):
        rates.take(reader(4))
    with pytest.raises(TooManyRequests) as refused:
        rates.take(reader(4))
    assert refused.value.headers == {"Retry-After": "1"}
    now[0] = 0.25
    rates.take(reader(4))
    with pytest.raises(TooManyRequests):
        rates.take(reader(4))
    rates.take(reader(4, "another"))


def test_a_slow_key_is_told_to_wait_as_long_as_it_has_to_and_one_without_a_rate_never() -> None:
    rates = Rates(lambda: 0.0)
    rates.take(reader(0.1))
    with pytest.raises(TooManyRequests) as refused:
        rates.take(reader(0.1))
    assert refused.value.headers == {"Retry-After": "10"}
    for _ in range(1_000):
        rates.take(reader(None))


def test_a_view_is_known_by_its_version_and_by_what_it_shows() -> None:
    views = Views(views_max=2)
    views.keep(1, 7, b"one", masked=True, language="en")
    assert views.get(1, 7, masked=True, language="en") == b"one"
    assert views.get(1, 8, masked=True, language="en") is None
    assert views.get(1, 7, masked=False, language="en") is None
    assert views.get(1, 7, masked=True, language="zh") is None


def test_the_views_that_were_not_shown_for_longest_go_first() -> None:
    views = Views(views_max=2)
    shown: Mapping[str, Any] = {"masked": True, "language": "en"}
    views.keep(1, 1, b"one", **shown)
    views.keep(2, 1, b"two", **shown)
    views.get(1, 1, **shown)
    views.keep(3, 1, b"three", **shown)
    assert [views.get(number, 1, **shown) for number in (1, 2, 3)] == [b"one", None, b"three"]
