"""Business days, in zones that skip midnights, repeat hours and once left out a whole day."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfoNotFoundError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tierwise.domain.calendar import DAYS, BusinessDays, date_of, day_number

ZONES = ("Asia/Shanghai", "America/Sao_Paulo", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

seconds = st.integers(86_400, 2_000_000_000)


@cache
def business_days(zone: str) -> BusinessDays:
    return BusinessDays(zone)


def split(zone: str, moment: datetime) -> tuple[date, int]:
    day, second = business_days(zone).split(np.array([int(moment.timestamp())]))
    return date_of(int(day[0])), int(second[0])


@proof
@given(st.sampled_from(ZONES[:-1]), seconds)
def test_a_business_day_is_the_date_on_the_wall(zone: str, second: int) -> None:
    moment = EPOCH + timedelta(seconds=second)
    local = moment.astimezone(business_days(zone).zone)
    assert date_of(business_days(zone).day_of(moment)) == local.date()


@proof
@given(st.sampled_from(ZONES), st.lists(seconds, min_size=1))
def test_a_day_and_its_second_lead_back_to_the_moment(zone: str, moments: list[int]) -> None:
    days = business_days(zone)
    day, second = days.split(np.array(moments))
    back = [days.moment(*pair) for pair in zip(day.tolist(), second.tolist(), strict=True)]
    assert back == [EPOCH + timedelta(seconds=moment) for moment in moments]
    assert ((second >= 0) & (second < 90_000)).all() or zone == "Pacific/Apia"


@proof
@given(st.sampled_from(ZONES), st.integers(0, DAYS - 2))
def test_days_are_ordered_and_begin_with_their_own_midnight(zone: str, day: int) -> None:
    days = business_days(zone)
    assert days.midnight(day) <= days.midnight(day + 1)
    if days.midnight(day) < days.midnight(day + 1):
        assert days.day_of(days.midnight(day)) == day
        assert days.day_of(days.midnight(day + 1) - timedelta(seconds=1)) == day


def test_a_day_whose_midnight_is_skipped_begins_an_hour_later() -> None:
    # 2018-11-04 in Brazil: after 23:59:59 came 01:00.
    days = business_days("America/Sao_Paulo")
    first = datetime(2018, 11, 4, 3, 0, tzinfo=UTC)
    assert days.midnight(day_number(date(2018, 11, 4))) == first
    assert split("America/Sao_Paulo", first) == (date(2018, 11, 4), 0)
    assert split("America/Sao_Paulo", first - timedelta(seconds=1)) == (date(2018, 11, 3), 86_399)
    assert days.midnight(day_number(date(2018, 11, 5))) - first == timedelta(hours=23)


def test_a_repeated_last_hour_belongs_to_the_day_that_it_repeats() -> None:
    # 2018-02-17 in Brazil: 23:00 to 24:00 came twice.
    assert split("America/Sao_Paulo", datetime(2018, 2, 18, 2, 59, 59, tzinfo=UTC)) == (date(2018, 2, 17), 89_999)
    assert split("America/Sao_Paulo", datetime(2018, 2, 18, 3, 0, tzinfo=UTC)) == (date(2018, 2, 18), 0)


@pytest.mark.parametrize(("day", "hours"), [((2024, 3, 31), 23), ((2024, 10, 27), 25), ((2024, 10, 28), 24)])
def test_a_day_is_as_long_as_the_clocks_make_it(day: tuple[int, int, int], hours: int) -> None:
    number = day_number(date(*day))
    days = business_days("Europe/Berlin")
    assert days.midnight(number + 1) - days.midnight(number) == timedelta(hours=hours)


def test_a_day_that_a_country_left_out_has_no_moment() -> None:
    # Samoa had no 30 December 2011.
    moments = [datetime(2011, 12, 30, 10, tzinfo=UTC) + timedelta(seconds=second) for second in (-1, 0)]
    assert [split("Pacific/Apia", moment)[0] for moment in moments] == [date(2011, 12, 29), date(2011, 12, 31)]


def test_moments_before_1970_and_after_the_last_day_stay_within_the_days_that_there_are() -> None:
    day, second = business_days("UTC").split(np.array([-5, 10**12]))
    assert day.tolist() == [0, DAYS - 1]
    assert second[0] == 0


@proof
@given(st.integers(0, DAYS - 1))
def test_numbers_and_dates_of_days_are_one_to_one(day: int) -> None:
    assert day_number(date_of(day)) == day


@pytest.mark.parametrize("zone", ["", "Moon/Crater", "../etc/passwd", "Europe/Berlin "])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises((ZoneInfoNotFoundError, ValueError)):
        BusinessDays(zone)


@pytest.mark.parametrize("zone", ["Europe", "x" * 300])
def test_a_directory_of_zones_is_refused_as_any_other_name(zone: str) -> None:
    with pytest.raises((ZoneInfoNotFoundError, ValueError)):
        BusinessDays(zone)
