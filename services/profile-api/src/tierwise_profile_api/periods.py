"""Periods that are asked for by their ends or by the calendar, and what each is compared with."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tierwise.domain.calendar import date_of, day_number
from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api.activity import Every, began
from tierwise_profile_api.parameters import BadParameter, instant

_MAX: Final = timedelta(days=3_660)
_DEFAULT: Final = timedelta(days=30)
_CALENDAR: Final = (1973, 2147)
"""Years."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A period [start, end), and the one before it that it is compared with, [before, before_end)."""

    before: datetime
    before_end: datetime
    start: datetime
    end: datetime


def period_of(from_: str | None, to: str | None) -> tuple[datetime, datetime]:
    """Up to now, and 30 days, where nothing else is said. Raises BadParameter."""
    end = instant("to", to) or datetime.now(UTC)
    start = instant("from", from_)
    try:
        start = start or end - _DEFAULT
        if not timedelta(0) < end - start <= _MAX:
            raise BadParameter("from", f"It is before `to`, by at most {_MAX.days:,} days.")
        start - (end - start)  # the period before this one
    except OverflowError as error:
        raise BadParameter("from", "Years before the first one cannot be compared with.") from error
    return start, end


def compared(every: Every | None, from_: str | None, to: str | None, rulebook: Rulebook) -> Compared:
    """With `every` the period of the calendar up to `to`, against as much of the one before; else the one from `from_`
    to `to` against as long a one before it. Raises BadParameter."""
    if every is not None:
        return _by_calendar(every, from_, to, rulebook)
    start, end = period_of(from_, to)
    return Compared(start - (end - start), start, start, end)


def _by_calendar(every: Every, from_: str | None, to: str | None, rulebook: Rulebook) -> Compared:
    if from_ is not None:
        raise BadParameter("from", "A period of the calendar begins when it begins: give `from` or `period`.")
    end = instant("to", to) or datetime.now(UTC)
    if not _CALENDAR[0] <= end.year <= _CALENDAR[1]:
        raise BadParameter("to", f"Years are from {_CALENDAR[0]} to {_CALENDAR[1]}.")
    first = began(date_of(rulebook.days.day_of(end - timedelta(microseconds=1))), every)
    before, start = (
        rulebook.days.midnight(day_number(day)) for day in (began(first - timedelta(days=1), every), first)
    )
    return Compared(before, min(before + (end - start), start), start, end)
