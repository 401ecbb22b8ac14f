"""Age: what is known of it stays the year of birth; the age of today follows when customers are classified.

The age of a year is the year less the year of birth, so it changes at midnight of 1 January in the business time zone:
day and month of birth are personal data and are not asked for. Groups: young from 14 (China's 中长期青年发展规划
2016-2025: youth is 14 to 35), middle from 36, senior from 60 (老年人权益保障法, article 2); below 14 there is none.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tierwise.domain.calendar import DAYS, date_of

BIRTH_YEAR: Final = "birth_year"
AGE: Final = "age"
AGE_GROUP: Final = "age_group"

GROUPS: Final = ("young", "middle", "senior")
_STARTS: Final = (14, 36, 60)
_FROM: Final = np.array(_STARTS)
_GROUP_FROM: Final = (None, *GROUPS)
_NAMES: Final = np.array(_GROUP_FROM, object)

_YEARS: Final = range(1900, 2150)
_AGES: Final = range(121)
_AGE: Final = re.compile(r"(\d{1,3})\s*(?:岁|周岁|years?(?: old)?|yrs?)?", re.ASCII | re.IGNORECASE)
_COMPACT: Final = re.compile(r"(\d{4})(?:\d{4})?", re.ASCII)  # 1990, 19900501
_YEAR: Final = re.compile(r"(?<!\d)(\d{4})(?!\d)", re.ASCII)  # 1990-05-01, 5/1/1990, 1990年5月1日
_BETWEEN: Final = re.compile(r"(\d{1,3})\s*(?:岁|周岁)?\s*(?:-|–|~|至|到|to)\s*(\d{1,3})\s*(?:岁|周岁)?", re.ASCII)

Column = npt.NDArray[Any]


@lru_cache(8192)
def birth_year(text: str) -> int | None:
    """Of a date or a year, whatever its form; None where it has no year of four digits from 1900 on."""
    text = text.strip()
    years = [compact[1]] if (compact := _COMPACT.fullmatch(text)) else _YEAR.findall(text)
    return int(years[0]) if len(years) == 1 and int(years[0]) in _YEARS else None


@lru_cache(4096)
def birth_year_of_age(text: str, year: int) -> int | None:
    """Of who is so old in `year`: `35`, `35岁`. It may be the year after the true one."""
    found = _AGE.fullmatch(text.strip())
    return year - int(found[1]) if found and int(found[1]) in _AGES else None


@lru_cache(4096)
def group_of_range(text: str) -> str | None:
    """`25-34` -> `young`; None where the range reaches over more than one group."""
    if (found := _BETWEEN.fullmatch(text.strip())) is None:
        return None
    first, last = (np.searchsorted(_FROM, int(age), side="right") for age in found.groups())
    name: str | None = _NAMES[first]
    return name if first == last else None


def needed(attributes: tuple[str, ...]) -> tuple[str, ...]:
    """The attributes that rules about these ask for beside them."""
    return (BIRTH_YEAR,) if BIRTH_YEAR not in attributes and not {AGE, AGE_GROUP}.isdisjoint(attributes) else ()


def aged(columns: Mapping[str, Column], today: int) -> dict[str, Column]:
    """The columns of attributes, with the age and the age group of the business day `today` where the year of birth is
    known. Elsewhere they are as given."""
    found = dict(columns)
    born = _born(columns)
    if born is None:
        return found
    known = born > 0
    age = date_of(today).year - born
    if AGE in found:
        found[AGE] = np.where(known, np.where(age >= 0, age, np.array(None, object)), found[AGE])
    if AGE_GROUP in found:
        found[AGE_GROUP] = np.where(known, _NAMES[np.searchsorted(_FROM, age, side="right")], found[AGE_GROUP])
    return found


def group_of_year(born: int, year: int) -> str | None:
    """The age group in `year` of one who was born in the year `born`, as `aged` tells it of many; None below all."""
    return _GROUP_FROM[bisect_right(_STARTS, year - born)]


def is_birth_year(value: Any) -> bool:
    return type(value) is int and value in _YEARS


def next_change(columns: Mapping[str, Column], today: int, never: int) -> npt.NDArray[np.int64] | None:
    """The business day, after `today`, on which each customer's age (or only its group, where no rule asks for the
    age) next changes; `never` where it does not. None: nobody's does."""
    born = _born(columns)
    if born is None or (AGE not in columns and AGE_GROUP not in columns):
        return None
    this_year = date_of(today).year
    if AGE in columns:
        year = np.full(len(born), this_year + 1)
    else:
        following = np.searchsorted(_FROM, this_year - born, side="right")
        year = born + np.append(_FROM, 10_000)[following]
    day = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return np.where((born > 0) & (day < DAYS), day, never)


def _born(columns: Mapping[str, Column]) -> npt.NDArray[np.int64] | None:
    """Years of birth, 0 where none is known; None where nobody's is."""
    column = columns.get(BIRTH_YEAR)
    if column is None:
        return None
    years = [year if is_birth_year(year) else 0 for year in column.tolist()]
    return np.array(years, np.int64) if any(years) else None
