"""What an explanation says: the documents that `explain` makes, as JSON has them.

Parts carry two numbers: `exact`, an integer of 1 / `exact_per_point` point, and `points`, which is what to show. Both
add up: the exact ones to the exact total, the shown ones to the shown total (see `explain.shown`).
"""

from datetime import date, datetime
from typing import Literal

import msgspec

from tierwise.domain.override import Override

Words = dict[str, str]
"""By language: en, zh."""

Value = float | str | bool | None
"""Of a name or function; None: not known; `***`: personal data, which is sealed."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of the rulebook. `filled`: its text with each value in brackets, `?` where it is not known.
    `failing`: the comparisons, filled likewise, for which it does not hold: of `and` the first, of `or` all."""

    name: str
    label: Words
    expression: str
    filled: str
    holds: bool
    values: dict[str, Value]
    failing: list[str]


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="signal"):
    """`occurrences`: all of them; `left`: how many of them fading leaves; `before_cap`: the points of those, where
    `at_most` took some away."""

    name: str
    label: Words
    points: float
    exact: int
    each: float
    occurrences: int
    last: date
    half_life_days: int
    left: float
    at_most: float | None
    before_cap: float | None


class Fit(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="fit"):
    """What attributes give."""

    name: str
    label: Words
    points: float
    exact: int
    rule: Rule


class Limit(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="limit"):
    """What is added because the sum of the other parts lies below 0, or taken off because it lies far above."""

    label: Words
    points: float
    exact: int


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the customer is at least of a level. `decided_by`: `score`, which lies outside the band from `leave` to
    `enter`; `close`: inside of it, the last daily close outside of it, at the end of `close`; `none`: there is no
    such day in reach."""

    level: str
    label: Words
    enter: float
    leave: float
    on: bool
    decided_by: Literal["score", "close", "none"]
    close: date | None


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """`score` = 100 `points` / (`points` + `half_score`), with one decimal. `level`: as it is shown; `computed`:
    without the override."""

    score: float
    level: str
    computed: str
    label: Words
    points: float
    exact: int
    exact_per_point: int
    parts: list[Signal | Fit | Limit]
    half_score: float
    thresholds: list[Threshold]
    override: Override | None
    words: Words


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """`value`: of the metric; None: not known, which counts as 0. `scale`: the points (metric, score) between which it
    lies, one where it lies beyond the end. `points` = `score` * `weight`."""

    name: str
    label: Words
    expression: str
    filled: str
    values: dict[str, Value]
    value: float | None
    scale: list[tuple[float, float]]
    score: float
    weight: float
    points: float
    exact: int
    words: Words


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    tier: str
    label: Words
    score: float


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """`score`: in hundredths, which the cuts are compared with; `cuts`: each tier's least score. `missing`: to the
    next higher tier than the computed one; None at the highest."""

    grade: str
    computed: str
    label: Words
    score: float
    exact: int
    exact_per_point: int
    parts: list[Dimension]
    cuts: list[Cut]
    missing: float | None
    override: Override | None
    words: Words


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A stage, or the value of a tag: of the first rule that holds. `value`: as it is shown; `computed`: without the
    override; `before`: the rules that come first and do not hold."""

    aspect: str
    value: str | None
    computed: str | None
    label: Words | None
    rule: Rule | None
    before: list[Rule]
    override: Override | None
    words: Words


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Of one customer, as classified at `as_of`. `cuts`: the number of those that the tier was cut by, None for the
    rulebook's fixed scores. `unconverted`: by currency, the amounts that are in no sum."""

    as_of: datetime
    day: date
    rulebook: str
    cuts: int | None
    intent: Intent
    tier: Tier
    lifecycle: Choice
    tags: list[Choice]
    unconverted: dict[str, int]
    words: Words
