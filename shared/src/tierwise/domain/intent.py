"""The intent score and its levels: points that fade with the days, and thresholds that look back instead of flapping.

Points, fading and sums are integers, so that a score never depends on who else is in the batch.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tierwise.domain.history import History
from tierwise.domain.rulebook.book import FADING_BITS, LOOK_BACK_DAYS, Points, PointsTable, Rulebook
from tierwise.domain.rulebook.evaluate import truth
from tierwise.domain.runs import Ints, run_sums, spans

_LOOK_BACK = (1, 8, 30, LOOK_BACK_DAYS + 1)  # in strides: most are decided within a week
TODAY = np.zeros(1, np.int64)
_FADED_MAX = 1 << 40  # keeps count * fading * each, and their sum below, within 63 bits
_TOTAL_MAX = 1 << 50


@dataclass(frozen=True, slots=True)
class FadingRows:
    """Ledger rows up to a day, ordered by (signal, customer, day): `count`, and `at`, where their
    factor of that day stands in the table's `fading`. `bounds`: between the rows of one signal of a customer and
    those of the next; `place`: of that signal in the table, -1 where it
    gives no points; `customer`: whose they are, of `customers` many."""

    table: PointsTable
    customers: int
    at: Ints
    count: Ints
    bounds: Ints
    place: Ints
    customer: Ints

    def points(self, days_back: Ints, fits: Ints) -> Ints:
        """[days back, points and fits, customers]: what makes the score of each of those daily closes, from the ledger
        up to then, in 1/1000 point times 2**FADING_BITS.

        `fits`: [fits, customers], what attributes give: today's, also for the days looked back to.
        """
        table = self.table
        parts = len(table.each) - 1 + len(fits)
        points = np.zeros((len(days_back), parts + 1, self.customers), np.int64)  # the last takes what gives none
        points[:, parts - len(fits) : parts] = fits
        faded = table.fading.take(self.at - days_back[:, None])
        faded *= self.count
        occurrences = np.minimum(run_sums(faded, self.bounds), _FADED_MAX)
        limit = table.limit[self.place]
        worth = np.minimum(np.maximum(occurrences * table.each[self.place], -limit), limit)
        points[:, self.place, self.customer] = worth
        return points[:, :parts]

    def only(self, customers: Ints) -> "FadingRows":
        """Those of these customers (ascending indexes), renumbered from 0."""
        new_index = np.full(self.customers, -1)
        new_index[customers] = np.arange(len(customers))
        customer = new_index[self.customer]
        groups = np.flatnonzero((customer >= 0) & (self.place >= 0))
        rows, bounds = spans(self.bounds[groups], self.bounds[groups + 1])
        return FadingRows(
            self.table,
            len(customers),
            self.at.take(rows),
            self.count.take(rows),
            bounds,
            self.place[groups],
            customer[groups],
        )


def fading_rows(history: History, rulebook: Rulebook) -> FadingRows:
    """Those of the history's day."""
    table = rulebook.points_table
    at = np.repeat(table.start[table.place], np.diff(history.signal_bounds))
    at += np.minimum(history.today - history.day, table.oldest)
    place = table.place[history.group_signal]
    return FadingRows(table, history.rows, at, history.count, history.bounds, place, history.group_customer)


def fits_of(history: History, rulebook: Rulebook) -> Ints:
    """[fits of the rulebook, customers], in the unit of points."""
    fits = np.zeros((len(rulebook.fit), history.rows), np.int64)
    for index, fit in enumerate(rulebook.fit):
        fits[index] = np.where(truth(fit.when, history), fit.points << FADING_BITS, 0)
    return fits


def total_of(parts: Ints) -> Ints:
    """[..., parts, customers] -> the points of all parts."""
    total: Ints = np.clip(parts.sum(axis=-2), 0, _TOTAL_MAX)
    return total


def score_of(points: Ints, rulebook: Rulebook) -> Ints:
    """Points -> tenths: 100 p / (p + half_score), which never reaches 100, rounded half up."""
    whole = points + (rulebook.half_score << FADING_BITS)
    tenths: Ints = (2000 * points + whole) // (2 * whole)
    return tenths


def faded_occurrences(points: Points, history: History) -> Ints:
    """Occurrences of FADING_BITS bits, each as much as fading leaves of it, by customer that has the signal."""
    rows = history.of(points.signal)
    age = np.minimum(history.today - rows.day, len(points.fading) - 1)
    return rows.sums(rows.count * points.fading[age])


def level_of(score: Ints, rows: FadingRows, fits: Ints, history: History, rulebook: Rulebook) -> Ints:
    """Every threshold is a switch of its own, and the level is how many are on, from the lowest up. Leaves in the
    history's `closes`, by level, the daily close that says so, in days back: 0 is today's own score, -1 that none in
    reach lay outside the band."""
    band, back = np.full(len(score), -1), np.zeros(len(score), np.int64)
    for index, threshold in enumerate(rulebook.levels):  # bands do not overlap: one customer is inside one at most
        band[(score >= threshold.leave) & (score < threshold.enter)] = index
    inside = np.flatnonzero(band >= 0)
    above = np.zeros(len(score), np.bool_)
    if len(inside):
        above[inside], back[inside] = _last_outside(rows.only(inside), fits[:, inside], band[inside], rulebook)
    level = np.zeros(len(score), np.int64)
    below = np.ones(len(score), np.bool_)
    for index, threshold in reversed([*enumerate(rulebook.levels)]):
        within = band == index
        history.closes[threshold.name] = np.where(within, back, 0)
        below &= (score >= threshold.enter) | (above & within)
        level += below
    return level


def _last_outside(rows: FadingRows, fits: Ints, band: Ints, rulebook: Rulebook) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Whether the last daily close that lay outside the customer's `band` (the index of a level) lay above it, and how
    many days ago that was; none in reach: it did not, and -1."""
    enter = np.array([level.enter for level in rulebook.levels])[band]
    leave = np.array([level.leave for level in rulebook.levels])[band]
    on = np.zeros(rows.customers, np.bool_)
    back = np.full(rows.customers, -1)
    open_ = np.arange(rows.customers)
    for first, last in pairwise(_LOOK_BACK):
        score = score_of(total_of(rows.points(np.arange(first, last), fits)), rulebook)
        above = score >= enter[open_]
        outside = above | (score < leave[open_])
        decided = outside.any(axis=0)
        nearest = outside.argmax(axis=0)
        on[open_] = decided & above[nearest, np.arange(len(open_))]
        back[open_] = np.where(decided, first + nearest, -1)
        if decided.all():
            break
        undecided = np.flatnonzero(~decided)
        open_, fits, rows = open_[undecided], fits[:, undecided], rows.only(undecided)
    return on, back
