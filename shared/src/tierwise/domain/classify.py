"""Classifying: a pure function from ledgers, attributes, the business day and the rulebook to results, in columns.

Sums are integers, and everything else is elementwise, so that a customer's result never depends on who else is in
the batch: the same ledger gives the same bytes, alone or among thousands.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tierwise.domain import override
from tierwise.domain.attribute_values import age
from tierwise.domain.attributes import Attributes, value_of
from tierwise.domain.history import History
from tierwise.domain.intent import TODAY, fading_rows, fits_of, level_of, score_of, total_of
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.evaluate import Column, number, truth
from tierwise.domain.rulebook.texts import first_text

OVERRIDES = "override"
"""The column of what was set by hand: `override.Overrides`, None for most."""

_NESTED = frozenset({list, dict})


@dataclass(frozen=True, slots=True)
class Classifications:
    """`result`: one element a customer, of the rulebook's dtype `result`. `parts`: what made the intent score,
    in the unit of its `points`: a row for each of the rulebook's `points`, then one for each `fit`, by customer.
    `history`: what rules looked at; None where it is not that of all of them."""

    result: npt.NDArray[np.void]
    parts: Ints
    history: History | None = None


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
    rows, fits = fading_rows(history, rulebook), fits_of(history, rulebook)
    [parts] = rows.points(TODAY, fits)
    result["points"] = total_of(parts)
    result["score"] = score_of(result["points"], rulebook)
    result["level"] = level_of(result["score"], rows, fits, history, rulebook)
    history.known["intent"] = result["score"] / 10
    history.known["intent.level"] = _named(result["level"], rulebook.level_names)
    result["stage"] = _stage(history, rulebook)
    history.known["stage"] = _named(result["stage"], rulebook.stage_names)
    _tier(result, history, rulebook)
    for index, (tag, texts) in enumerate(zip(rulebook.tags, rulebook.tag_texts, strict=True)):
        codes = None
        if texts is not None and history.kept is None:
            codes = first_text(texts, history)
        if codes is None:
            codes = _first_that_holds([truth(when, history) for when in tag.conditions])
        result["tags"][:, index] = codes
    history.tag_value = result["tags"].astype(np.int64)
    return Classifications(result, parts, history)


def attribute_columns(customers: Sequence[Attributes], rulebook: Rulebook) -> dict[str, Column]:
    """The attributes that the rulebook names and those that they follow from, as columns; None where a customer has
    none, or a list, which no rule can compare. And OVERRIDES."""
    given: defaultdict[str, list[Any]] = defaultdict(lambda: [None] * len(customers))
    names = frozenset((*rulebook.attributes, *age.needed(rulebook.attributes)))
    for index, held in enumerate(customers):
        for name in names & held.keys():
            value = value_of(held, name)
            if type(value) not in _NESTED:
                given[name][index] = value
        if overrides := override.overrides_of(held):
            given[OVERRIDES][index] = overrides
    unknown = np.broadcast_to(np.array(None, object), len(customers))
    columns: dict[str, Column] = dict.fromkeys((*names, OVERRIDES), unknown)
    for name, values in given.items():
        columns[name] = np.empty(len(customers), object)
        columns[name][:] = values
    return columns


def _stage(history: History, rulebook: Rulebook) -> Ints:
    codes = np.array([rulebook.stage_names.index(stage.name) for stage in rulebook.stages])
    first = _first_that_holds([truth(stage.when, history) for stage in rulebook.stages])
    history.stage_rule = first - 1
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


def _first_that_holds(conditions: Sequence[npt.NDArray[np.bool_]]) -> Ints:
    """1 + the index of the first condition that holds, by customer; 0 where none does."""
    first = np.zeros(len(conditions[0]), np.int64)
    for code, condition in reversed([*enumerate(conditions, start=1)]):
        first[condition] = code
    return first


def _named(codes: Column, names: tuple[str, ...]) -> Column:
    return np.array(names, object)[codes]
