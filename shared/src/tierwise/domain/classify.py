"""Classifying: a pure function from ledgers, attributes, the business day and the rulebook to results, in columns.

Sums are integers, and everything else is elementwise, so that a customer's result never depends on who else is in
the batch: the same ledger gives the same bytes, alone or among thousands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tierwise.domain import override
from tierwise.domain.attribute_values import age
from tierwise.domain.attributes import Attributes
from tierwise.domain.history import History
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.rulebook.book import FADING_BITS, LOOK_BACK_DAYS, Level, Points, Rulebook
from tierwise.domain.rulebook.evaluate import Column, number, truth
from tierwise.domain.rulebook.texts import first_text

OVERRIDES = "override"
"""The column of what was set by hand: `override.Overrides`, None for most."""

_LOOK_BACK = (1, 8, 30, LOOK_BACK_DAYS + 1)  # in strides: most are decided within a week
_FADED_MAX = 1 << 40  # keeps count * fading * each, and their sum below, within 63 bits
_PART_MAX = 1 << 44
_TOTAL_MAX = 1 << 50
_NESTED = frozenset({list, dict})


@dataclass(frozen=True, slots=True)
class Classifications:
    """`result`: one element a customer, of the rulebook's dtype `result`. `parts`: what made the intent score,
    in the unit of its `points`: a row for each of the rulebook's `points`, then one for each `fit`, by customer."""

    result: npt.NDArray[np.void]
    parts: Ints


def classify(ledgers: Ledgers, attributes: Mapping[str, Column], now: datetime, rulebook: Rulebook) -> Classifications:
    """`attributes`: the columns that `attribute_columns` makes, each of `ledgers.customers` elements.

    `now` is aware; only its business day matters, but for overrides. Rows of later days do not exist yet. What a
    person has overridden is set last: rules see what is computed.
    """
    history = History(ledgers, attributes, rulebook.days.day_of(now), rulebook)
    computed = classify_history(history, ledgers, rulebook)
    override.apply(computed.result, attributes[OVERRIDES].tolist(), now, rulebook)
    return computed


def classify_history(history: History, ledgers: Ledgers, rulebook: Rulebook) -> Classifications:
    """What is computed, before overrides, at the close of the history's day. `history` has what was found on the way:
    in `known`, `closes` and, where it is asked for, `kept`."""
    result = np.zeros(ledgers.customers, rulebook.result)
    parts = _points(history, rulebook)
    result["points"] = _total(parts)
    result["score"] = _score(result["points"], rulebook)
    result["level"] = _level(result["score"], parts, ledgers, history, rulebook)
    history.known["intent"] = result["score"] / 10
    history.known["intent.level"] = _named(result["level"], rulebook.level_names)
    result["stage"] = _stage(history, rulebook)
    history.known["stage"] = _named(result["stage"], rulebook.stage_names)
    _tier(result, history, rulebook)
    for index, tag in enumerate(rulebook.tags):
        codes = first_text(tag.conditions, history)
        if codes is None:
            codes = _first_that_holds([partial(truth, when, history) for when in tag.conditions])
        result["tags"][:, index] = codes
    return Classifications(result, parts)


def attribute_columns(customers: Sequence[Attributes], rulebook: Rulebook) -> dict[str, Column]:
    """The attributes that the rulebook names and those that they follow from, as columns; None where a customer has
    none, or a list, which no rule can compare. And OVERRIDES."""
    columns = {}
    for name in (*rulebook.attributes, *age.needed(rulebook.attributes)):
        values = [entry.value if (entry := held.get(name)) else None for held in customers]
        if not _NESTED.isdisjoint(map(type, values)):
            values = [None if type(value) in _NESTED else value for value in values]
        column = np.empty(len(customers), object)
        column[:] = values
        columns[name] = column
    columns[OVERRIDES] = np.empty(len(customers), object)
    for index, held in enumerate(customers):
        if held and (given := override.overrides_of(held)):
            columns[OVERRIDES][index] = given
    return columns


def _points(history: History, rulebook: Rulebook) -> Ints:
    """[points and fits of the rulebook, customers], in 1/1000 point times 2**FADING_BITS."""
    parts = np.empty((len(rulebook.points) + len(rulebook.fit), history.rows), np.int64)
    for index, points in enumerate(rulebook.points):
        parts[index] = history.of(points.signal).spread(_worth(points, faded_occurrences(points, history)))
    for index, fit in enumerate(rulebook.fit, start=len(rulebook.points)):
        parts[index] = np.where(truth(fit.when, history), fit.points << FADING_BITS, 0)
    return parts


def faded_occurrences(points: Points, history: History) -> Ints:
    """Occurrences of FADING_BITS bits, each as much as fading leaves of it, by customer that has the signal."""
    rows = history.of(points.signal)
    age = np.minimum(history.today - rows.day, len(points.fading) - 1)
    return rows.sums(rows.count * points.fading[age])


def _worth(points: Points, faded: Ints) -> Ints:
    """Faded occurrences -> points, capped."""
    worth: Ints = np.minimum(faded, _FADED_MAX) * points.each
    limit = _PART_MAX if points.at_most is None else points.at_most << FADING_BITS
    capped: Ints = np.clip(worth, -limit, limit)
    return capped


def _score(points: Ints, rulebook: Rulebook) -> Ints:
    """Points -> tenths: 100 p / (p + half_score), which never reaches 100, rounded half up."""
    whole = points + (rulebook.half_score << FADING_BITS)
    tenths: Ints = (2000 * points + whole) // (2 * whole)
    return tenths


def _total(parts: Ints) -> Ints:
    total: Ints = np.clip(parts.sum(axis=0), 0, _TOTAL_MAX)
    return total


def _level(score: Column, parts: Ints, ledgers: Ledgers, history: History, rulebook: Rulebook) -> Ints:
    """Every threshold is a switch of its own; the level is how many are on, from the lowest up."""
    level = np.zeros(len(score), np.int64)
    below = np.ones(len(score), np.bool_)
    for threshold in reversed(rulebook.levels):
        on, history.closes[threshold.name] = _switched(threshold, score, parts, ledgers, history.today, rulebook)
        below &= on
        level += below
    return level


def _switched(
    threshold: Level, score: Column, parts: Ints, ledgers: Ledgers, today: int, rulebook: Rulebook
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Whether the threshold is on, and the close that says so, in days back: 0 is today's own score, -1 that none
    in reach lay outside the band."""
    on = score >= threshold.enter
    back = np.zeros(len(score), np.int64)
    inside = np.flatnonzero((score >= threshold.leave) & ~on)
    if len(inside):
        fits = parts[len(rulebook.points) :, inside].sum(axis=0)
        on[inside], back[inside] = _last_outside(ledgers.only(inside), fits, threshold, today, rulebook)
    return on, back


def _last_outside(
    ledgers: Ledgers, fits: Ints, threshold: Level, today: int, rulebook: Rulebook
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Whether the last daily close that lay outside the threshold's band lay above it, and how many days ago that
    was; none in reach: it did not, and -1.

    `fits`: the points that attributes give, which are today's also for the days looked back to.
    """
    on = np.zeros(ledgers.customers, np.bool_)
    back = np.full(ledgers.customers, -1)
    open_ = np.arange(ledgers.customers)
    for first, last in pairwise(_LOOK_BACK):
        score = _past_scores(History(ledgers, {}, today, rulebook), fits, range(first, last), rulebook)
        outside = (score >= threshold.enter) | (score < threshold.leave)
        decided = outside.any(axis=0)
        nearest = outside.argmax(axis=0)
        on[open_] = decided & (score[nearest, np.arange(len(open_))] >= threshold.enter)
        back[open_] = np.where(decided, first + nearest, -1)
        if decided.all():
            break
        undecided = np.flatnonzero(~decided)
        open_, fits, ledgers = open_[undecided], fits[undecided], ledgers.only(undecided)
    return on, back


def _past_scores(history: History, fits: Ints, days_back: range, rulebook: Rulebook) -> Ints:
    """[days back, customers]: the score at each of those daily closes, from the ledger up to that day."""
    back = np.arange(days_back.start, days_back.stop)
    total = np.repeat(fits[None, :], len(back), axis=0)
    for points in rulebook.points:
        rows = history.of(points.signal)
        age = np.minimum(history.today - rows.day - back[:, None], len(points.fading) - 1)
        faded = np.where(age >= 0, rows.count * points.fading[np.maximum(age, 0)], 0)
        total[:, rows.customers] += _worth(
            points, np.add.reduceat(faded, rows.starts, axis=1) if len(rows.day) else faded
        )
    return _score(np.clip(total, 0, _TOTAL_MAX), rulebook)


def _stage(history: History, rulebook: Rulebook) -> Ints:
    codes = np.array([rulebook.stage_names.index(stage.name) for stage in rulebook.stages])
    first = _first_that_holds([partial(truth, stage.when, history) for stage in rulebook.stages])
    return codes[first - 1]


def _tier(result: npt.NDArray[np.void], history: History, rulebook: Rulebook) -> None:
    total = np.zeros(history.rows, np.int64)
    for index, dimension in enumerate(rulebook.dimensions):
        metric = np.nan_to_num(number(dimension.metric, history), nan=0.0)
        tenths = np.rint(np.interp(metric, *dimension.scale) * 10).astype(np.int64)
        result["dimensions"][:, index] = tenths
        total += dimension.weight * tenths
        history.known[f"tier.{dimension.name}"] = tenths / 10
    score = (total + 50) // 100
    result["tier_score"] = score
    cuts = np.array([cut for _, cut in reversed(rulebook.cuts)])
    result["tier"] = len(cuts) - np.searchsorted(cuts, score, side="right")
    history.known["tier.score"] = score / 100
    history.known["tier"] = _named(result["tier"], rulebook.tier_names)


def _first_that_holds(conditions: Sequence[Callable[[], npt.NDArray[np.bool_]]]) -> Ints:
    """1 + the index of the first condition that holds, by customer; 0 where none does."""
    columns = np.array([condition() for condition in conditions])
    return np.where(columns.any(axis=0), columns.argmax(axis=0) + 1, 0)


def _named(codes: Column, names: tuple[str, ...]) -> Column:
    return np.array(names, object)[codes]
