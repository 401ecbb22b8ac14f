"""Review: when time alone can next change a customer's classification, score included.

Within a day only interactions change anything, so a review is due at a midnight of the business time zone. Ages change
at the turn of the year. A row of the ledger matters again when its age in days reaches an *event*: it leaves a window,
passes a threshold of `days_since`, or its points fade further. The next review is never late; it may be early, where an
event turns out to change nothing.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tierwise.domain.attribute_values.age import next_change
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.evaluate import Column, walk
from tierwise.domain.rulebook.expressions import Between, Call, Comparison, Days, Node, Number, children

NEVER = np.iinfo(np.int64).max
"""The day of a review that time alone never makes due."""

_AGES = frozenset({"days_since", "days_since_first"})

_WITHIN_THE_HORIZON = frozenset({"active_days", "longest_gap"})
"""Before it, days are folded together."""


def next_review(
    ledgers: Ledgers, attributes: Mapping[str, Column], result: npt.NDArray[np.void], today: int, rulebook: Rulebook
) -> Ints:
    """The business day, after `today`, at whose midnight each customer is to be classified again, or NEVER.

    `attributes`: the columns that `attribute_columns` makes; `result`: the classification of `today`.
    """
    table = _until_event(rulebook)
    age = today - ledgers.day
    signal = rulebook.used_signals(ledgers.signal)
    until = table[signal, np.clip(age, 0, table.shape[1] - 1)]
    day = np.where(age < 0, ledgers.day, today + until)
    some = (signal >= 0) & ((age < 0) | (until > 0))
    due = np.full(ledgers.customers, NEVER)
    np.minimum.at(due, ledgers.customer[some], day[some])
    due[_inside_a_band(result["score"], rulebook)] = today + 1
    older = next_change(attributes, today, NEVER)
    return due if older is None else np.minimum(due, older)


def _inside_a_band(score: npt.NDArray[np.int16], rulebook: Rulebook) -> npt.NDArray[np.bool_]:
    """Where a level depends on earlier daily closes: the one that decides may pass out of reach tomorrow."""
    inside = np.zeros(len(score), np.bool_)
    for level in rulebook.levels:
        inside |= (score >= level.leave) & (score < level.enter)
    return inside


@dataclass(slots=True)
class _Events:
    """The ages in days at which a row of a signal matters again; `daily`: every one."""

    ages: set[int] = field(default_factory=set)
    daily: bool = False


@lru_cache(maxsize=8)
def _until_event(rulebook: Rulebook) -> npt.NDArray[np.int32]:
    """[signal, age] -> days until the row's next event, 0 for never. The last age stands for all after it."""
    events = _events(rulebook)
    oldest = max((age for found in events.values() for age in found.ages), default=0)
    age = np.arange(oldest + 1)
    table = np.zeros((len(rulebook.signal_names), len(age)), np.int32)
    for signal, found in events.items():
        ages = np.array(sorted(found.ages), np.int64)
        following = np.searchsorted(ages, age, side="right")
        row = np.where(following < len(ages), np.append(ages, 0)[following] - age, 0)
        table[rulebook.signal_index[signal]] = 1 if found.daily else row
    return table


def _events(rulebook: Rulebook) -> dict[str, _Events]:
    events: dict[str, _Events] = defaultdict(_Events)
    for points in rulebook.points:
        events[points.signal].ages.update(range(1, len(points.fading)))
    for condition in _conditions(rulebook):
        for node in walk(condition):
            if isinstance(node, Comparison | Between):
                _add_thresholds(events, node, rulebook)
            for child in children(node):
                if isinstance(child, Call) and not _is_against_constants(node):
                    _add_call(events, child, rulebook)
        if isinstance(condition, Call):
            _add_call(events, condition, rulebook)
    return events


def _conditions(rulebook: Rulebook) -> Iterator[Node]:
    """Every expression about customers."""
    yield from (fit.when for fit in rulebook.fit)
    yield from (stage.when for stage in rulebook.stages)
    yield from (dimension.metric for dimension in rulebook.dimensions)
    yield from (condition for tag in rulebook.tags for condition in tag.conditions)


def _is_against_constants(node: Node) -> bool:
    """A comparison of one age with constants changes only where the age passes them."""
    if not isinstance(node, Comparison | Between):
        return False
    calls = [child for child in children(node) if isinstance(child, Call) and child.function in _AGES]
    constants = [child for child in children(node) if isinstance(child, Number | Days)]
    return len(calls) == 1 and len(calls) + len(constants) == len(children(node))


def _add_thresholds(events: dict[str, _Events], node: Node, rulebook: Rulebook) -> None:
    if _is_against_constants(node):
        [call] = [child for child in children(node) if isinstance(child, Call)]
        for constant in (child.value for child in children(node) if isinstance(child, Number | Days)):
            passed = {math.ceil(constant), math.floor(constant) + 1}
            events[rulebook.signals_of(call)[0]].ages.update(age for age in passed if age > 0)


def _add_call(events: dict[str, _Events], call: Call, rulebook: Rulebook) -> None:
    windows = [argument.value for argument in call.arguments if isinstance(argument, Days)]
    if not windows and call.function in _WITHIN_THE_HORIZON:
        windows = [rulebook.horizon_days]
    for signal in rulebook.signals_of(call):
        events[signal].ages.update(windows)
        if call.function == "trend":
            events[signal].ages.update(2 * window for window in windows)
        if call.function in _AGES:
            events[signal].daily = True
