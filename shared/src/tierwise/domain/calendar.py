"""Business days: the grain of time. A day begins at midnight in the rulebook's business time zone."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

DAYS = 65_536  # 1970-01-01 to 2149-06-06: a day fits into 16 bits
QUARTER_S = 900
"""Of an hour: no time zone has a midnight or a full hour within one that is counted from 1970 UTC."""

_SECONDS_PER_DAY = 86_400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

Ints = npt.NDArray[np.int64]


class BusinessDays:
    """Days of one time zone, numbered from 0 on 1970-01-01."""

    def __init__(self, zone: str) -> None:
        """Raises zoneinfo.ZoneInfoNotFoundError for an unknown zone."""
        try:
            self.zone = ZoneInfo(zone)
        except (OSError, ValueError) as error:  # a directory of zones, a name that no file can have
            raise ZoneInfoNotFoundError(f"{zone[:64]!r} is no IANA time zone") from error
        self._midnights = _midnights(self.zone)
        self._irregular = np.append(np.diff(self._midnights) != _SECONDS_PER_DAY, False)

    def split(self, seconds: Ints) -> tuple[Ints, Ints]:
        """Epoch seconds (UTC) -> (day, second of that day, 0 to 90,000 where clocks are set back)."""
        day = np.clip(np.searchsorted(self._midnights, seconds, side="right") - 1, 0, DAYS - 1)
        return day, np.maximum(seconds - self._midnights[day], 0)

    def hours(self, seconds: Ints) -> Ints:
        """Epoch seconds -> the hour on the clock, 0 to 23, also on days when clocks are set."""
        day, second = self.split(seconds)
        hours = second // 3600
        for index in np.flatnonzero(self._irregular[day]).tolist():
            hours[index] = datetime.fromtimestamp(int(seconds[index]), self.zone).hour
        return hours

    def day_of(self, moment: datetime) -> int:
        """The business day that an aware moment falls on."""
        day = int(np.searchsorted(self._midnights, int(moment.timestamp()), side="right")) - 1
        return min(max(day, 0), DAYS - 1)

    def midnight(self, day: int) -> datetime:
        """The first instant of a day, in UTC."""
        return datetime.fromtimestamp(int(self._midnights[day]), UTC)

    def moment(self, day: int, second: int) -> datetime:
        """The inverse of `split`, in UTC."""
        return self.midnight(day) + timedelta(seconds=second)


def date_of(day: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + day)


def day_number(day: date) -> int:
    return day.toordinal() - _EPOCH_ORDINAL


@lru_cache(maxsize=8)
def _midnights(zone: ZoneInfo) -> Ints:
    """Epoch second at which each day begins; where daylight saving skips midnight, the first instant after it."""
    starts = (datetime.fromordinal(_EPOCH_ORDINAL + day).replace(tzinfo=zone) for day in range(DAYS))
    return np.fromiter((int(start.timestamp()) for start in starts), np.int64, DAYS)
