"""Explaining classifications: what `classify` computed on the way, kept and put in order.

Nothing is computed a second time: points, scores, levels, stages, tiers and tags come from the same functions, with
every node of the rulebook's expressions keeping its column; an explanation reads one row of all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
from msgspec.structs import replace

from tierwise.domain import override
from tierwise.domain.calendar import date_of
from tierwise.domain.classify import OVERRIDES, Classifications, classify_history
from tierwise.domain.dynamic_signals import unconverted
from tierwise.domain.explain_rules import Nodes
from tierwise.domain.explain_words import (
    LIMIT,
    PARTS_MAX,
    choice_words,
    dimension_words,
    intent_words,
    tier_words,
    unconverted_words,
)
from tierwise.domain.explanation import (
    Choice,
    Cut,
    Dimension,
    Explanation,
    Fit,
    Intent,
    Limit,
    Signal,
    Threshold,
    Tier,
    Words,
)
from tierwise.domain.history import History
from tierwise.domain.intent import faded_occurrences
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.override import Override, Overrides
from tierwise.domain.rulebook.book import FADING_BITS, MILLI, Points, Rulebook
from tierwise.domain.rulebook.book import Dimension as DimensionRule
from tierwise.domain.rulebook.book import Level as LevelRule
from tierwise.domain.rulebook.evaluate import Column
from tierwise.domain.rulebook.expressions import Node

POINT: Final = MILLI << FADING_BITS
"""So many units of a result's `points` are one point."""

TIER_POINT: Final = 10 * MILLI
"""So many are one point of the tier score: tenths of a dimension's score times thousandths of weight."""


def explain(ledgers: Ledgers, attributes: Mapping[str, Column], now: datetime, rulebook: Rulebook) -> Explanation:
    """Of the one customer in `ledgers`, as `classify` takes them."""
    if ledgers.customers != 1:
        raise ValueError("one customer at a time")
    return next(explanations(ledgers, attributes, now, rulebook))


def explanations(
    ledgers: Ledgers, attributes: Mapping[str, Column], now: datetime, rulebook: Rulebook
) -> Iterator[Explanation]:
    """Of each customer, computed for all of them at once; half as dear as one by one. Each holds some 100 kB."""
    kept: dict[int, Column] = {}
    history = History(ledgers, attributes, rulebook.days.day_of(now), rulebook, kept)
    computed = classify_history(history, ledgers, rulebook)
    together = _Together(rulebook, history, kept, computed)
    without_rate = unconverted(ledgers, history.today)
    for row, overrides in enumerate(attributes[OVERRIDES].tolist()):
        one = _Explaining(together, row, overrides or {}, now)
        yield Explanation(
            as_of=now.astimezone(UTC),
            day=date_of(history.today),
            rulebook=rulebook.version,
            cuts=rulebook.cuts_number,
            intent=one.intent(),
            tier=one.tier(),
            lifecycle=one.lifecycle(),
            tags=one.tags(),
            unconverted=without_rate[row],
            words=unconverted_words(without_rate[row]),
        )


def shown(exact: Sequence[int], unit: int) -> list[int]:
    """Each part in whole `unit`s, so that they add up to their sum in `unit`s, which is rounded half up: every part
    is rounded down, and those that lose most by it get one more (the largest remainders, the first of equals)."""
    whole = [part // unit for part in exact]
    missing = (2 * sum(exact) + unit) // (2 * unit) - sum(whole)
    by_remainder = sorted(range(len(exact)), key=lambda index: -(exact[index] % unit))
    for index in by_remainder[:missing]:
        whole[index] += 1
    return whole


@dataclass(frozen=True, slots=True)
class _Together:
    """What the customers of one explanation share. `kept`: by a node's `id`, its column. `computed`: before overrides.
    `signals`: by name, the columns of `_signal`, made as they are asked for."""

    rulebook: Rulebook
    history: History
    kept: Mapping[int, Column]
    computed: Classifications
    signals: dict[str, tuple[Ints, Ints, Ints]] = field(default_factory=dict)

    def signal(self, points: Points) -> tuple[Ints, Ints, Ints]:
        """By customer: faded occurrences, occurrences and the last day of the signal."""
        if points.signal not in self.signals:
            rows = self.history.of(points.signal)
            columns = (faded_occurrences(points, self.history), rows.sums(rows.count), rows.last_day)
            faded, occurrences, last = (rows.spread(column) for column in columns)
            self.signals[points.signal] = (faded, occurrences, last)
        return self.signals[points.signal]


class _Explaining:
    """One customer's explanation in the making."""

    def __init__(self, together: _Together, row: int, overrides: Overrides, now: datetime) -> None:
        self._rulebook, self._history = together.rulebook, together.history
        self._together, self._row = together, row
        self._nodes = Nodes(together.kept, row, together.rulebook)
        self._parts = together.computed.parts[:, row].tolist()
        effective = together.computed.result[row : row + 1].copy()
        override.apply(effective, [overrides], now, together.rulebook)
        self._computed, self._effective = together.computed.result[row], effective[0]
        self._overrides = {aspect: one for aspect, one in overrides.items() if one.holds(now)}

    def intent(self) -> Intent:
        rulebook, computed = self._rulebook, self._computed
        exact = self._parts
        points = int(computed["points"])
        limit = points - sum(exact)
        milli = shown([*exact, limit], 1 << FADING_BITS)
        parts: list[Signal | Fit | Limit] = [
            self._signal(one, exact[index], milli[index]) for index, one in enumerate(rulebook.points) if exact[index]
        ]
        for index, fit in enumerate(rulebook.fit, start=len(rulebook.points)):
            if exact[index]:
                rule = self._nodes.rule(fit.name, rulebook.label(fit.name), fit.when)
                parts.append(
                    Fit(name=fit.name, label=rule.label, points=milli[index] / MILLI, exact=exact[index], rule=rule)
                )
        parts.sort(key=lambda part: -abs(part.exact))
        if limit:
            parts.append(Limit(label=LIMIT, points=milli[-1] / MILLI, exact=limit))
        level, effective = (rulebook.level_names[result["level"]] for result in (computed, self._effective))
        intent = Intent(
            score=int(computed["score"]) / 10,
            level=effective,
            computed=level,
            label=rulebook.label(effective),
            points=sum(milli) / MILLI,
            exact=points,
            exact_per_point=POINT,
            parts=parts,
            half_score=rulebook.half_score / MILLI,
            thresholds=[self._threshold(threshold) for threshold in rulebook.levels],
            override=self._override("intent", level, effective),
            words={},
        )
        return replace(intent, words=intent_words(intent, rulebook))

    def _signal(self, points: Points, exact: int, milli: int) -> Signal:
        faded, occurrences, last = (int(column[self._row]) for column in self._together.signal(points))
        before_cap = faded * points.each
        return Signal(
            name=points.signal,
            label=self._rulebook.label(points.signal),
            points=milli / MILLI,
            exact=exact,
            each=points.each / MILLI,
            occurrences=occurrences,
            last=date_of(last),
            half_life_days=points.half_life_days,
            left=round(faded / (1 << FADING_BITS), 4),
            at_most=None if points.at_most is None else points.at_most / MILLI,
            before_cap=None if before_cap == exact else round(before_cap / POINT, 3),
        )

    def _threshold(self, level: LevelRule) -> Threshold:
        days_back = int(self._history.closes[level.name][self._row])
        return Threshold(
            level=level.name,
            label=self._rulebook.label(level.name),
            enter=level.enter / 10,
            leave=level.leave / 10,
            on=int(self._computed["level"]) >= self._rulebook.level_names.index(level.name),
            decided_by="score" if days_back == 0 else "close" if days_back > 0 else "none",
            close=date_of(self._history.today - days_back) if days_back > 0 else None,
        )

    def tier(self) -> Tier:
        rulebook, computed = self._rulebook, self._computed
        tenths = computed["dimensions"].tolist()
        exact = [rule.weight * score for rule, score in zip(rulebook.dimensions, tenths, strict=True)]
        hundredths = shown(exact, TIER_POINT // 100)
        rows = zip(rulebook.dimensions, tenths, exact, hundredths, strict=True)
        parts = sorted((self._dimension(*row) for row in rows), key=lambda part: -part.exact)
        grade, effective = (rulebook.tier_names[result["tier"]] for result in (computed, self._effective))
        score = int(computed["tier_score"])
        above = [cut for _, cut in rulebook.cuts if cut > score]
        tier = Tier(
            grade=effective,
            computed=grade,
            label=rulebook.label(effective),
            score=score / 100,
            exact=sum(exact),
            exact_per_point=TIER_POINT,
            parts=parts,
            cuts=[Cut(tier=name, label=rulebook.label(name), score=cut / 100) for name, cut in rulebook.cuts],
            missing=(above[-1] - score) / 100 if above else None,
            override=self._override("tier", grade, effective),
            words={},
        )
        return replace(tier, words=tier_words(tier, rulebook))

    def _dimension(self, rule: DimensionRule, tenths: int, exact: int, hundredths: int) -> Dimension:
        nodes, label, points = self._nodes, self._rulebook.label(rule.name), hundredths / 100
        known = nodes.number(rule.metric)
        return Dimension(
            name=rule.name,
            label=label,
            expression=nodes.text(rule.metric),
            filled=nodes.filled(rule.metric),
            values=nodes.values(rule.metric),
            value=known,
            scale=_around(known or 0.0, rule.scale),
            score=tenths / 10,
            weight=rule.weight / MILLI,
            points=points,
            exact=exact,
            words=dimension_words(label, points, rule.weight / MILLI, nodes.measures(rule.metric), self._rulebook),
        )

    def lifecycle(self) -> Choice:
        rulebook = self._rulebook
        computed, effective = (rulebook.stage_names[result["stage"]] for result in (self._computed, self._effective))
        rules = [(stage.name, rulebook.label(stage.name), stage.when) for stage in rulebook.stages]
        return self._choice("lifecycle", computed, effective, rulebook.label(effective), rules)

    def tags(self) -> list[Choice]:
        """Of every tag of the rulebook, in its order, whether the customer has it or not."""
        choices = []
        for index, tag in enumerate(self._rulebook.tags):
            values = (None, *tag.values)
            computed, effective = (values[result["tags"][index]] for result in (self._computed, self._effective))
            labels = [self._rulebook.label(f"{tag.name}.{value}") for value in tag.values]
            label = labels[tag.values.index(effective)] if effective is not None else None
            rules = list(zip(tag.values, labels, tag.conditions, strict=True))
            choices.append(self._choice(f"tag:{tag.family}.{tag.name}", computed, effective, label, rules))
        return choices

    def _choice(
        self,
        aspect: str,
        computed: str | None,
        effective: str | None,
        label: Words | None,
        rules: Sequence[tuple[str, Words, Node]],
    ) -> Choice:
        nodes = self._nodes
        held = nodes.first([when for _, _, when in rules])
        before = rules[:held]
        choice = Choice(
            aspect=aspect,
            value=effective,
            computed=computed,
            label=label,
            rule=None if held is None else nodes.rule(*rules[held]),
            before=[nodes.rule(*rule) for rule in before],
            override=self._override(aspect, computed, effective),
            words={},
        )
        why = [] if held is None else nodes.measures(rules[held][2])
        others = [nodes.measures(nodes.failing(when)[0]) for _, _, when in before[:PARTS_MAX]]
        return replace(choice, words=choice_words(choice, why, others, self._rulebook))

    def _override(self, aspect: str, computed: str | None, effective: str | None) -> Override | None:
        """One that holds, of a value that the rulebook knows."""
        found = self._overrides.get(aspect)
        return found if found is not None and found.value == effective else None


def _around(metric: float, scale: tuple[tuple[float, ...], tuple[float, ...]]) -> list[tuple[float, float]]:
    """The points of the scale on both sides of the metric, one beyond its ends."""
    above = int(np.searchsorted(scale[0], metric, side="right"))
    return list(zip(*scale, strict=True))[max(above - 1, 0) : above + 1]
