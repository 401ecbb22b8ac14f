"""Cuts: from shares of the customers to the least tier score of each tier.

The scores are integers, and all that is kept of them is how many customers have each: so any order, any pages and any
number of them give the same cuts, exactly.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.domain.calendar import Ints, date_of, day_number
from tierwise.domain.rulebook.book import Rulebook, Shares
from tierwise.domain.rulebook.schema import Schedule

SCORE_MAX = 10_000
"""Of a tier score, in hundredths."""

_WHOLE = 10_000
"""Of shares."""


class Taken(NamedTuple):
    """Cuts as taken. `close`: the business day at whose close; `scores`: the least of each tier in hundredths, from
    the highest down; `customers`: of how many, 0 where there were none and the scores so far go on."""

    close: int
    scores: tuple[int, ...]
    customers: int


class Tally:
    """How many customers have each tier score."""

    def __init__(self) -> None:
        self._counts: Ints = np.zeros(SCORE_MAX + 1, np.int64)

    @property
    def customers(self) -> int:
        return int(self._counts.sum())

    def add(self, tier_scores: npt.NDArray[np.int16]) -> None:
        """`tier_scores`: in hundredths, one a customer."""
        self._counts += np.bincount(tier_scores, minlength=SCORE_MAX + 1)

    def cut(self, shares: Shares) -> tuple[int, ...]:
        """The least score of each tier, in hundredths, from the highest tier down.

        It is the least score that no more customers reach than the share of the tier and those above it. So a share
        is never exceeded: of those who have the same score at its border, and do not all fit in, none is. Where that
        is the highest score there is, the tier begins above it, at most at SCORE_MAX + 1, and is empty.
        """
        reaching = self._counts[::-1].cumsum()[::-1]  # by score: how many have it or a higher one
        return tuple(int(np.count_nonzero(reaching > self.customers * share // _WHOLE)) for share in shares.down_to)


def taken_at(close: int, tally: Tally, rulebook: Rulebook) -> Taken:
    """`rulebook`: one with shares. Of nobody no share can be taken: the scores so far go on."""
    assert rulebook.shares is not None  # noqa: S101
    customers = tally.customers
    scores: Sequence[int] = tally.cut(rulebook.shares) if customers else [score for _, score in rulebook.cuts]
    return Taken(close, tuple(scores), customers)


def last_close(taken: Schedule, today: int) -> int:
    """The last business day of the latest period (day, week from Monday on, month, quarter) that ended before the
    business day `today`."""
    day = date_of(today)
    match taken:
        case "daily":
            first = day
        case "weekly":
            first = day - timedelta(days=day.weekday())
        case "monthly":
            first = day.replace(day=1)
        case "quarterly":
            first = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day_number(first) - 1
