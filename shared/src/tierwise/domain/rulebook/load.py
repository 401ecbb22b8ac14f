"""From the rulebook's text to the Rulebook: refused whole, with every error in it."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from importlib.resources import files
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import numpy as np
import yaml
from pydantic import ValidationError

from tierwise.domain.calendar import BusinessDays, day_number
from tierwise.domain.document import load_yaml
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.ledger import signal_id
from tierwise.domain.rulebook.book import (
    FADING_BITS,
    FIRST_TOUCH,
    LAST_TOUCH,
    LOOK_BACK_DAYS,
    MILLI,
    OTHER,
    Dimension,
    Fit,
    Level,
    Matcher,
    Points,
    Rates,
    Rulebook,
    Signal,
    Stage,
    Tag,
    folding_bytes,
)
from tierwise.domain.rulebook.check import Scope, Unit, check, unknown
from tierwise.domain.rulebook.expressions import ExpressionError, Node, Truth, parse
from tierwise.domain.rulebook.schema import Document, Match
from tierwise.domain.rulebook.schema import Points as PointsDocument

_PROPERTIES = Scope(None)
"""Of a `where`: the properties of one interaction."""

_BUILT_IN = frozenset({"purchase", "refund"})
"""Signals that the product itself asks for: the orders of the current view."""


class RulebookError(ValueError):
    """`errors`: each says where and what, `intent.points.pricing_view: ...`, in the order of the document."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def default_text() -> str:
    """The rulebook that an empty database gets."""
    return ready_text("default")


def ready_rulebooks() -> list[str]:
    """The names of the rulebooks that come with Tierwise."""
    names = (entry.name for entry in files("tierwise.domain.rulebook").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def ready_text(name: str) -> str:
    """The text of one of `ready_rulebooks`."""
    return files("tierwise.domain.rulebook").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def load(text: str) -> Rulebook:
    """Raises RulebookError."""
    return _Loader(read(text)).load()


def read(text: str) -> Document:
    """The document, of the right form, its meaning unchecked. Raises RulebookError."""
    try:
        return Document.model_validate(load_yaml(text))
    except yaml.YAMLError as error:
        raise RulebookError([f"not YAML: {error}"]) from error
    except ValidationError as error:
        raise RulebookError(list(dict.fromkeys(_misfit(entry) for entry in error.errors()))) from error


def _misfit(entry: Any) -> str:
    """One of pydantic's errors: without the names of a union's branches, and of its own words."""
    parts = [str(part) for part in entry["loc"]]
    place = ".".join(part for part in parts if part not in ("str", "[key]") and not part.startswith("tuple["))
    if not place:
        return "the rulebook: has to be a YAML mapping of names to what they mean"
    if entry["type"] == "extra_forbidden":
        return f"{place}: is no word that is known here"
    return f"{place}: {entry['msg'].removeprefix('Value error, ')}"


class _Loader:
    """Collects the errors of a whole document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._errors: list[str] = []
        self._used: set[str] = set()  # signals that expressions ask for
        self._attributes = (*document.attributes, FIRST_TOUCH, LAST_TOUCH)

    def load(self) -> Rulebook:
        document = self._document
        days = self._days()
        self._check()
        intent, tiers = document.intent, document.tiers
        fits, stages, dimensions, tags = self._scopes()
        rulebook = Rulebook(
            version=document.version,
            days=days,
            currency=document.currency,
            rates=_rates(document),
            horizon_days=document.horizon,
            attributes=self._attributes,
            signals=tuple(
                Signal(name, self._matcher(f"signals.{name}", signal), signal.value == "amount")
                for name, signal in document.signals.items()
            ),
            interest_property=document.interests.source.removeprefix("properties."),
            interests=document.interests.values,
            acquisition=tuple(
                (touch.source, self._matcher(f"acquisition.{index}", touch))
                for index, touch in enumerate(document.acquisition)
            ),
            points=tuple(
                _points(name, points, document.horizon - LOOK_BACK_DAYS) for name, points in intent.points.items()
            ),
            fit=tuple(
                Fit(fit.name, self._condition(f"intent.fit.{fit.name}", fit.when, fits), _milli(fit.points))
                for fit in intent.fit
            ),
            half_score=_milli(intent.half_score),
            levels=tuple(
                Level(name, round(level.enter * 10), round(level.leave * 10)) for name, level in intent.levels.items()
            ),
            level_otherwise=intent.otherwise,
            stages=tuple(
                Stage(stage.stage, self._condition(f"lifecycle.{stage.stage}", stage.when, stages))
                for stage in document.lifecycle
            ),
            dimensions=tuple(
                Dimension(
                    name,
                    self._expression(f"tiers.dimensions.{name}.metric", dimension.metric, dimensions, Unit.NUMBER),
                    round(dimension.weight * MILLI),
                    (tuple(dimension.scale), tuple(dimension.scale.values())),
                )
                for name, dimension in tiers.dimensions.items()
            ),
            cuts=tuple((name, round(cut * 100)) for name, cut in tiers.cuts.items()),
            tier_otherwise=tiers.otherwise,
            tags=tuple(
                Tag(
                    family,
                    name,
                    tuple(values),
                    tuple(
                        self._condition(f"tags.{family}.{name}.{value}", condition, tags)
                        for value, condition in values.items()
                    ),
                )
                for family, names in document.tags.items()
                for name, values in names.items()
            ),
            strategies={aspect: dict(named) for aspect, named in document.strategies.items()},
            labels=document.labels,
            used=frozenset(self._used | document.intent.points.keys()),
            folding=folding_bytes(
                document.timezone,
                document.currency,
                document.model_dump(include={"rates"}, mode="json"),
                {name: signal.model_dump() for name, signal in document.signals.items()},
                document.interests.model_dump(),
                [touch.model_dump() for touch in document.acquisition],
            ),
        )
        self._check_signals(rulebook)
        if self._errors:
            raise RulebookError(self._errors)
        return rulebook

    def _days(self) -> BusinessDays:
        try:
            return BusinessDays(self._document.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            self._errors.append(f"timezone: {self._document.timezone!r} is no IANA time zone")
            return BusinessDays("UTC")

    def _matcher(self, place: str, match: Match) -> Matcher:
        if match.channel is not None and match.channel not in CHANNELS:
            self._errors.append(f"{place}.channel: {unknown('channel', match.channel, CHANNELS)}")
        where = None
        if match.where is not None:
            where = self._condition(f"{place}.where", match.where, _PROPERTIES)
        types = (match.type,) if isinstance(match.type, str) else match.type
        return Matcher(match.channel, types, where)

    def _condition(self, place: str, text: str, scope: Scope) -> Node:
        return self._expression(place, text, scope, Unit.TRUTH)

    def _expression(self, place: str, text: str, scope: Scope, wanted: Unit) -> Node:
        try:
            node = parse(text)
        except ExpressionError as error:
            self._errors.append(f"{place}: {error}")
            return Truth(0, value=False)
        checked = check(node, scope, wanted)
        self._used |= checked.signals
        self._errors.extend(
            f"{place}: {ExpressionError(message, text, offset)}" for offset, message in checked.problems
        )
        return node

    def _scopes(self) -> tuple[Scope, Scope, Scope, Scope]:
        """Of fits, of stages, of tier dimensions and of tags: each sees what is computed before it."""
        document = self._document
        texts = {
            "intent.level": (*document.intent.levels, document.intent.otherwise),
            "stage": [stage.stage for stage in document.lifecycle],
            "tier": (*document.tiers.cuts, document.tiers.otherwise),
        }
        scores = dict.fromkeys(("tier.score", *(f"tier.{name}" for name in document.tiers.dimensions)), Unit.NUMBER)
        known = [
            dict.fromkeys(self._attributes, Unit.ANY),
            {"intent": Unit.NUMBER, "intent.level": Unit.TEXT},
            {"stage": Unit.TEXT},
            {"tier": Unit.TEXT, **scores},
        ]
        names: dict[str, Unit] = {}
        scopes: list[Scope] = []
        for more in known:
            names = {**names, **more}
            signals = document.signals if scopes else ()  # fits come from attributes alone: they are the same every day
            scopes.append(Scope(names, signals, document.horizon - LOOK_BACK_DAYS, texts))
        fits, stages, dimensions, tags = scopes
        return fits, stages, dimensions, tags

    def _check(self) -> None:
        document = self._document
        say = self._errors.append
        for name in document.intent.points:
            if name not in document.signals:
                say(f"intent.points.{name}: {unknown('signal', name, document.signals)}")
        previous = 100.1
        for name, level in document.intent.levels.items():
            if level.leave > level.enter:
                say(f"intent.levels.{name}: leave {level.leave:g} must not be above enter {level.enter:g}")
            if level.enter >= previous:
                say(f"intent.levels.{name}: levels go from the highest down, without overlap")
            previous = level.leave
        if document.currency in document.rates:
            say(f"rates: {document.currency} is the base currency, of which the rate is 1")
        for currency in (name for name, rates in document.rates.items() if not rates):
            say(f"rates.{currency}: at least one date and rate is needed")
        if document.horizon <= LOOK_BACK_DAYS:
            say(f"horizon: more than the {LOOK_BACK_DAYS} days that levels look back")
        weights = sum(round(dimension.weight * MILLI) for dimension in document.tiers.dimensions.values())
        if weights != MILLI:
            say(f"tiers.dimensions: the weights add up to {weights / MILLI:g}, not 1")
        for name, dimension in document.tiers.dimensions.items():
            if not _ascending(dimension.scale) or not _monotonic(dimension.scale.values()):
                say(f"tiers.dimensions.{name}.scale: must rise, and its scores not change direction")
            if not all(0 <= score <= 100 for score in dimension.scale.values()):
                say(f"tiers.dimensions.{name}.scale: scores are 0 to 100")
        for place, otherwise, names in (
            ("intent.otherwise", document.intent.otherwise, document.intent.levels),
            ("tiers.otherwise", document.tiers.otherwise, document.tiers.cuts),
        ):
            if otherwise in names:
                say(f"{place}: {otherwise} stands above already: give what is left a name of its own")
        values = document.interests.values
        for value in dict.fromkeys(value for value in values if values.count(value) > 1 or value == OTHER):
            say(f"interests.values: {value} " + ("is what all others count as" if value == OTHER else "stands twice"))
        cuts = list(document.tiers.cuts.values())
        if not _ascending(reversed(cuts)):
            say("tiers.cuts: go from the highest down")
        if document.lifecycle[-1].when != "true":
            say("lifecycle: the last stage must have `when: 'true'`, so that everyone has one")
        self._check_labels(say)

    def _check_labels(self, say: Callable[[str], None]) -> None:
        document = self._document
        named = {
            "signals": document.signals,
            "intent.levels": [*document.intent.levels, document.intent.otherwise],
            "intent.fit": [fit.name for fit in document.intent.fit],
            "lifecycle": [stage.stage for stage in document.lifecycle],
            "tiers": [*document.tiers.cuts, document.tiers.otherwise],
            "tiers.dimensions": document.tiers.dimensions,
            "acquisition": [touch.source for touch in document.acquisition],
            "tags": [
                f"{name}.{value}"
                for names in document.tags.values()
                for name, values in names.items()
                for value in values
            ],
        }
        for place, names in named.items():
            missing = [name for name in dict.fromkeys(names) if name not in document.labels]
            if missing:
                say(f"labels: missing for {place}: {', '.join(missing)}")

    def _check_signals(self, rulebook: Rulebook) -> None:
        for signal in rulebook.signals:
            if signal.name not in rulebook.used | _BUILT_IN:
                self._errors.append(f"signals.{signal.name}: nothing asks for it: use it in a rule, or take it out")
        by_id: dict[int, str] = {}
        for name in rulebook.signal_names:
            other = by_id.setdefault(signal_id(name), name)
            if other != name:
                self._errors.append(f"signals: {name} and {other} share an id: rename one of them")


def _rates(document: Document) -> dict[str, Rates]:
    """An empty list of rates is an error that `_check` tells."""
    dated = {currency: sorted(rates.items()) for currency, rates in document.rates.items() if rates}
    rates = {
        currency: Rates(tuple(day_number(day) for day, _ in pairs), tuple(rate for _, rate in pairs))
        for currency, pairs in dated.items()
    }
    return {document.currency: Rates((0,), (Decimal(1),)), **rates}


def _points(signal: str, points: PointsDocument, reach_days: int) -> Points:
    """What is older than `reach_days` gives no points: its days may be folded together."""
    # Python's float power, rounded to 16 bits once here: the same table on every machine that follows IEEE 754.
    ages = range(points.half_life * (FADING_BITS + 1) + 1)
    fading = [round(2.0 ** (-age / points.half_life) * (1 << FADING_BITS)) for age in ages]
    return Points(
        signal,
        _milli(points.each),
        None if points.at_most is None else _milli(points.at_most),
        points.half_life,
        np.array([*(factor for factor in fading[:reach_days] if factor > 0), 0], np.int64),
    )


def _milli(points: float) -> int:
    return round(points * MILLI)


def _ascending(values: Iterable[float]) -> bool:
    listed = list(values)
    return all(left < right for left, right in pairwise(listed))


def _monotonic(values: Iterable[float]) -> bool:
    listed = list(values)
    return listed in (sorted(listed), sorted(listed, reverse=True))
