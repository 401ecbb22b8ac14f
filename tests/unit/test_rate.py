"""The token bucket of a source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.domain.source import BACKEND, Intake, RateLimit, Source
from tierwise_ingest.rate import Rates, TooManyRequests


def limited(per_second: float, burst: int, *, number: int = 1) -> Source:
    intake = Intake(rate_limit=RateLimit(per_second=per_second, burst=burst))
    return Source(id=number, name="shop", trust=BACKEND, intake=intake)


def test_a_source_without_a_limit_sends_as_it_likes() -> None:
    rates = Rates()
    for _ in range(100):
        rates.take(Source(id=1, name="shop", trust=BACKEND), 1_000_000, 0.0)


def test_a_burst_passes_and_what_follows_is_told_when_to_come_again() -> None:
    rates, source = Rates(), limited(10, 100)
    rates.take(source, 100, 5.0)
    with pytest.raises(TooManyRequests) as refused:
        rates.take(source, 25, 5.0)
    assert refused.value.headers == {"Retry-After": "3"}
    rates.take(source, 25, 5.0 + 2.5)


def test_a_refused_request_takes_nothing() -> None:
    rates, source = Rates(), limited(10, 100)
    rates.take(source, 90, 0.0)
    with pytest.raises(TooManyRequests):
        rates.take(source, 50, 0.0)
    rates.take(source, 10, 0.0)


def test_a_request_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_off() -> None:
    rates, source = Rates(), limited(10, 100)
    rates.take(source, 500, 0.0)
    with pytest.raises(TooManyRequests) as refused:
        rates.take(source, 500, 0.0)
    assert refused.value.headers == {"Retry-After": "50"}
    rates.take(source, 500, 50.0)


def test_a_source_does_not_use_up_what_another_may_send() -> None:
    rates = Rates()
    rates.take(limited(1, 10, number=1), 10, 0.0)
    rates.take(limited(1, 10, number=2), 10, 0.0)


def test_a_limit_that_was_lowered_holds_at_once() -> None:
    rates = Rates()
    rates.take(limited(1000, 1000), 10, 0.0)
    rates.take(limited(1, 20), 20, 0.0)
    with pytest.raises(TooManyRequests):
        rates.take(limited(1, 20), 1, 0.0)


sends = st.lists(st.tuples(st.integers(1, 50), st.floats(0, 5)), max_size=60)


@given(sends, st.floats(0.5, 50), st.integers(1, 100))
def test_never_more_passes_than_the_burst_and_what_the_time_allows(
    sent: list[tuple[int, float]], per_second: float, burst: int
) -> None:
    rates, source, now_s, passed = Rates(), limited(per_second, burst), 0.0, 0
    for n, waited_s in sent:
        now_s += waited_s
        try:
            rates.take(source, n, now_s)
        except TooManyRequests:
            continue
        passed += n
        # One request may be larger than the bucket; those after it wait until it is paid off.
        assert passed <= burst + now_s * per_second + max(0, n - burst) + 1e-6
