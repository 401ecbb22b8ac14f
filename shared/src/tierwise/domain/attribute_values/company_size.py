"""Company size from the number of employees.

The limits are those for industry in China's 统计上大中小微型企业划分办法 (2017), by employees alone: micro below 20,
small below 300, medium below 1,000, large from there on. Turnover and the limits of other industries are left aside.
That a company is multinational is only known where it is said.
"""

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from typing import Final

from tierwise.domain.attribute_values import words

_LIMITS: Final = (20, 300, 1_000)
_SIZES: Final = ("micro", "small", "medium", "large")

_NUMBER = r"(\d{1,9})\s*(万|k)?"
_PEOPLE = r"\s*(?:名|个)?\s*(?:人|员工|employees?|people|persons?|staff)?\s*"
_RANGE: Final = re.compile(rf"{_NUMBER}{_PEOPLE}(?:-|–|—|~|至|到|to){_PEOPLE}{_NUMBER}{_PEOPLE}")
_ONE: Final = re.compile(
    rf"(>=?|≥|over|more than|超过|大于)?(<=?|≤|less than|under|up to|少于|小于|不足)?\s*{_NUMBER}{_PEOPLE}"
    r"(\+|以上|及以上|and above|or more|plus)?(以下|以内|or less|and below)?" + _PEOPLE
)


@lru_cache(4096)
def company_size(text: str) -> str | None:
    """From a word for it, or a number of employees: `300`, `50-99人`, `1万人以上`, `< 20`. Of a range it is the middle.

    `micro`, `small`, `medium`, `large`, `multinational`, or `sme` where only that much is known.
    """
    return words.company_size(text) or _by_employees(text)


def by_employees(text: str) -> str | None:
    """None for words: it is the number that was to be said."""
    return _by_employees(text)


@lru_cache(4096)
def _by_employees(text: str) -> str | None:
    plain = re.sub(r"(?<=\d),(?=\d)", "", unicodedata.normalize("NFKC", text).casefold().strip())
    if between := _RANGE.fullmatch(plain):
        employees = (_number(between[1], between[2] or between[4]) + _number(between[3], between[4])) // 2
    elif one := _ONE.fullmatch(plain):
        employees = _number(one[3], one[4]) - (one[2] is not None or one[6] is not None)
    else:
        return None
    return _SIZES[bisect_right(_LIMITS, employees)] if employees > 0 else None


def _number(digits: str, unit: str | None) -> int:
    return int(digits) * {None: 1, "k": 1_000, "万": 10_000}[unit]
