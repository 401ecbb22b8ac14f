"""Classifying: a pure function from ledgers, attributes, the business day and the rulebook to results, in columns.

Sums are integers, and everything else is elementwise, so that a customer's result never depends on who else is in
the batch: the same ledger gives the same bytes, alone or among thousands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from tierwise.domain.attributes import Attributes
from tierwise.domain.ledger import Ints, Ledgers, run_starts
from tierwise.domain.rulebook.book import FADING_BITS, Level, Rulebook
from tierwise.domain.rulebook.evaluate import Column, number, truth

LOOK_BACK_DAYS = 90
"""A threshold's switch looks back so many daily closes for one that lies outside its band."""

_WEIGHTED_MAX = 1 << 40  # keeps count * fading * each, and their sum, far below 2**63
_TOTAL_MAX = 1 << 50


@dataclass(frozen=True, slots=True)
class Classifications:
    """`result`: one element a customer, of the rulebook's dtype `result`. `parts`: what made the intent score,
    in the unit of its `points`: a row for each of the rulebook's `points`, then one for each `fit`, by customer."""

    result: npt.NDArray[np.void]
    parts: Ints


def classify(ledgers: Ledgers, attributes: Mapping[str, Column], now: datetime, rulebook: Rulebook) -> Classifications:
    """`attributes`: the columns that `attribute_columns` makes, each of `ledgers.customers` elements.

    `now` is aware; only its business day matters. Rows of later days do not exist yet.
    """
    today = rulebook.days.day_of(now)
    history = History(ledgers, attributes, today, rulebook)
    result = np.zeros(ledgers.customers, rulebook.result)
    parts = _points(history, rulebook)
    result["points"], result["score"] = _score(parts, rulebook)
    result["level"] = _level(result["score"], ledgers, attributes, today, rulebook)
    history.known["intent"] = result["score"] / 10
    history.known["intent.level"] = _named(result["level"], rulebook.level_names)
    result["stage"] = _stage(history, rulebook)
    history.known["stage"] = _named(result["stage"], rulebook.stage_names)
    _tier(result, history, rulebook)
    for index, tag in enumerate(rulebook.tags):
        result["tags"][:, index] = _first_that_holds([partial(truth, when, history) for when in tag.conditions])
    return Classifications(result, parts)


def attribute_columns(customers: Sequence[Attributes], rulebook: Rulebook) -> dict[str, Column]:
    """The attributes that the rulebook names, as columns; None where a customer has none."""
    columns = {}
    for name in rulebook.attributes:
        column = np.empty(len(customers), object)
        column[:] = [entry.value if (entry := held.get(name)) else None for held in customers]
        columns[name] = column
    return columns


class History:
    """Ledgers as an expression's environment: aggregates of signals, attributes, and what is `known` so far."""

    def __init__(self, ledgers: Ledgers, attributes: Mapping[str, Column], today: int, rulebook: Rulebook) -> None:
        self.rows = ledgers.customers
        self.today = today
        self.known: dict[str, Column] = dict(attributes)
        self._rulebook = rulebook
        ids = rulebook.signal_ids
        signal = np.minimum(np.searchsorted(ids, ledgers.signal), len(ids) - 1)
        alive = (ids[signal] == ledgers.signal) & (ledgers.day <= today)
        self.ledgers = ledgers.where(alive)
        self.signal = signal[alive]
        group = self.ledgers.customer * len(ids) + self.signal
        self.starts = run_starts(group)
        self._place = group[self.starts]
        self._matrices: dict[tuple[str, int | None, int], Ints] = {}

    def name(self, name: str) -> Column:
        return self.known[name]

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Column:
        return getattr(self, f"_{function}")(*signals, window_days)  # type: ignore[no-any-return]

    def by_signal(self, values: Ints) -> Ints:
        """One value a (customer, signal) group -> a matrix [signal, customer], 0 where there is no such group."""
        matrix = np.zeros(self.rows * len(self._rulebook.signal_ids), np.int64)
        matrix[self._place] = values
        return np.ascontiguousarray(matrix.reshape(self.rows, -1).T)

    def sums(self, values: Ints) -> Ints:
        """One value a row -> its sum in every (customer, signal) group."""
        return np.add.reduceat(values, self.starts) if len(values) else values

    def _matrix(self, what: str, window_days: int | None, back: int = 0) -> Ints:
        """Counts, values or active days of the `window_days` up to today, or of the window so many before it."""
        key = (what, window_days, back)
        if key not in self._matrices:
            values = np.minimum(self.ledgers.count, 1) if what == "active" else getattr(self.ledgers, what)
            if window_days is not None:
                last = self.today - back * window_days
                inside = (self.ledgers.day > last - window_days) & (self.ledgers.day <= last)
                values = np.where(inside, values, 0)
            self._matrices[key] = self.by_signal(self.sums(values))
        return self._matrices[key]

    def _row(self, what: str, signal: str, window_days: int | None, back: int = 0) -> Ints:
        row: Ints = self._matrix(what, window_days, back)[self._rulebook.signal_index[signal]]
        return row

    def _of(self, values: Ints, signal: str) -> Ints:
        row: Ints = self.by_signal(values)[self._rulebook.signal_index[signal]]
        return row

    def _count(self, signal: str, window_days: int | None) -> Column:
        return self._row("count", signal, window_days)

    def _sum(self, signal: str, window_days: int | None) -> Column:
        return self._row("value", signal, window_days) / 100

    def _active_days(self, signal: str, window_days: int | None) -> Column:
        return self._row("active", signal, window_days)

    def _share(self, part: str, whole: str, window_days: int | None) -> Column:
        return _ratio(self._row("count", part, window_days), self._row("count", whole, window_days))

    def _trend(self, signal: str, window_days: int | None) -> Column:
        return _ratio(self._row("count", signal, window_days), self._row("count", signal, window_days, back=1))

    def _days_since(self, signal: str, _: None) -> Column:
        ends = np.append(self.starts[1:], len(self.ledgers)) - 1
        return self._ago(signal, ends)

    def _days_since_first(self, signal: str, _: None) -> Column:
        return self._ago(signal, self.starts)

    def _ago(self, signal: str, row: Ints) -> Column:
        days = self._of(self.today - self.ledgers.day[row] + 1, signal)
        return np.where(days > 0, days - 1.0, np.nan)

    def _longest_gap(self, signal: str, _: None) -> Column:
        gaps = np.diff(self.ledgers.day, prepend=0)
        gaps[self.starts] = 0
        longest = np.maximum.reduceat(gaps, self.starts) if len(gaps) else gaps
        return self._of(longest, signal)


def _ratio(part: Ints, whole: Ints) -> Column:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _points(history: History, rulebook: Rulebook) -> Ints:
    """[points and fits of the rulebook, customers], in 1/1000 point times 2**FADING_BITS."""
    longest = max(len(points.fading) for points in rulebook.points)
    fading = np.zeros((len(rulebook.signal_ids), longest + 1), np.int64)  # the last age of all is 0
    for points in rulebook.points:
        fading[rulebook.signal_index[points.signal], : len(points.fading)] = points.fading
    age = np.minimum(history.today - history.ledgers.day, longest)
    faded = history.ledgers.count * fading[history.signal, age]
    weighted = history.by_signal(np.minimum(history.sums(faded), _WEIGHTED_MAX))
    parts = np.empty((len(rulebook.points) + len(rulebook.fit), history.rows), np.int64)
    for index, points in enumerate(rulebook.points):
        part = weighted[rulebook.signal_index[points.signal]] * points.each
        if points.at_most is not None:
            limit = points.at_most << FADING_BITS
            part = np.clip(part, -limit, limit)
        parts[index] = part
    for index, fit in enumerate(rulebook.fit, start=len(rulebook.points)):
        parts[index] = np.where(truth(fit.when, history), fit.points << FADING_BITS, 0)
    return parts


def _score(parts: Ints, rulebook: Rulebook) -> tuple[Ints, Ints]:
    """Points, and the score in tenths: 100 p / (p + half_score), which never reaches 100, rounded half up."""
    points = np.clip(parts.sum(axis=0), 0, _TOTAL_MAX)
    whole = points + (rulebook.half_score << FADING_BITS)
    return points, (2000 * points + whole) // (2 * whole)


def _level(score: Column, ledgers: Ledgers, attributes: Mapping[str, Column], today: int, rulebook: Rulebook) -> Ints:
    """Every threshold is a switch of its own; the level is how many are on, from the lowest up."""
    level = np.zeros(len(score), np.int64)
    below = np.ones(len(score), np.bool_)
    for threshold in reversed(rulebook.levels):
        on = score >= threshold.enter
        inside = np.flatnonzero((score >= threshold.leave) & ~on)
        if len(inside):
            on[inside] = _last_outside(inside, threshold, ledgers, attributes, today, rulebook)
        below &= on
        level += below
    return level


def _last_outside(
    customers: Ints,
    threshold: Level,
    ledgers: Ledgers,
    attributes: Mapping[str, Column],
    today: int,
    rulebook: Rulebook,
) -> npt.NDArray[np.bool_]:
    """Whether the last daily close that lay outside the threshold's band lay above it; none in reach: it did not."""
    on = np.zeros(len(customers), np.bool_)
    open_ = np.arange(len(customers))
    ledgers = ledgers.only(customers)
    attributes = {name: column[customers] for name, column in attributes.items()}
    for day in range(today - 1, today - 1 - LOOK_BACK_DAYS, -1):
        history = History(ledgers, attributes, day, rulebook)
        _, score = _score(_points(history, rulebook), rulebook)
        on[open_[score >= threshold.enter]] = True
        undecided = np.flatnonzero((score >= threshold.leave) & (score < threshold.enter))
        if not len(undecided):
            break
        if len(undecided) < len(open_):
            open_ = open_[undecided]
            ledgers = ledgers.only(undecided)
            attributes = {name: column[undecided] for name, column in attributes.items()}
    return on


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
