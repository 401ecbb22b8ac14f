"""From the rulebook's text to the Rulebook: refused whole, with every error in it."""

from decimal import Decimal
from importlib.resources import files
from zoneinfo import ZoneInfoNotFoundError

import numpy as np

from tierwise.domain.calendar import BusinessDays, day_number
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.ledger import signal_id
from tierwise.domain.rulebook.book import (
    FADING_BITS,
    FIRST_TOUCH,
    LAST_TOUCH,
    LOOK_BACK_DAYS,
    MILLI,
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
    groups_of,
)
from tierwise.domain.rulebook.check import Scope, Unit, check, unknown
from tierwise.domain.rulebook.expressions import ExpressionError, Node, Truth
from tierwise.domain.rulebook.form import RulebookError, form_of
from tierwise.domain.rulebook.meaning import meaning_errors
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.rulebook.schema import Document, Match
from tierwise.domain.rulebook.schema import Points as PointsDocument
from tierwise.domain.rulebook.shares import shares_of

_PROPERTIES = Scope(None)
"""Of a `where`: the properties of one interaction."""

_BUILT_IN = frozenset({"purchase", "refund"})
"""Signals that the product itself asks for: the orders of the current view."""


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
    """Raises RulebookError, with what is wrong in form and in meaning."""
    form = form_of(text)
    if form.document is None:
        raise RulebookError(form.errors)
    loader = _Loader(form.document)
    rulebook = loader.load()
    errors = [*form.errors, *(error for error in loader.errors if not form.explains(error))]
    if errors:
        raise RulebookError(errors)
    return rulebook


class _Loader:
    """`errors`: of a whole document, by `load`; while there are any, what it returns is of no use."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.errors: list[str] = []
        self._used: set[str] = set()  # signals that expressions ask for
        self._attributes = (*document.attributes, FIRST_TOUCH, LAST_TOUCH)

    def load(self) -> Rulebook:
        document = self._document
        days = self._days()
        self.errors += meaning_errors(document)
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
            shares=shares_of(tiers),
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
            strategies={
                aspect: {name: strategy.model_dump(mode="json", exclude_unset=True) for name, strategy in named.items()}
                for aspect, named in document.strategies.items()
            },
            labels=document.labels,
            used=frozenset(self._used | document.intent.points.keys()),
            folding=folding_bytes(
                document.timezone,
                document.horizon,
                document.currency,
                document.model_dump(include={"rates"}, mode="json"),
                {name: signal.model_dump() for name, signal in document.signals.items()},
                document.interests.model_dump(),
                [touch.model_dump() for touch in document.acquisition],
            ),
        )
        self._check_signals(rulebook)
        return rulebook

    def _days(self) -> BusinessDays:
        try:
            return BusinessDays(self._document.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            self.errors.append(f"timezone: {self._document.timezone!r} is no IANA time zone")
            return BusinessDays("UTC")

    def _matcher(self, place: str, match: Match) -> Matcher:
        channels = _listed(match.channel)
        for channel in channels or ():
            if channel not in CHANNELS:
                self.errors.append(f"{place}.channel: {unknown('channel', channel, CHANNELS)}")
        where = None
        if match.where is not None:
            where = self._condition(f"{place}.where", match.where, _PROPERTIES)
        return Matcher(channels, _listed(match.type), where)

    def _condition(self, place: str, text: str, scope: Scope) -> Node:
        return self._expression(place, text, scope, Unit.TRUTH)

    def _expression(self, place: str, text: str, scope: Scope, wanted: Unit) -> Node:
        try:
            node = parse(text)
        except ExpressionError as error:
            self.errors.append(f"{place}: {error}")
            return Truth(0, value=False)
        checked = check(node, scope, wanted)
        self._used |= checked.signals
        self.errors.extend(f"{place}: {ExpressionError(message, text, offset)}" for offset, message in checked.problems)
        return node

    def _scopes(self) -> tuple[Scope, Scope, Scope, Scope]:
        """Of fits, of stages, of tier dimensions and of tags: each sees what is computed before it."""
        document = self._document
        texts = {
            "intent.level": (*document.intent.levels, document.intent.otherwise),
            "stage": [stage.stage for stage in document.lifecycle],
            "tier": (*document.tiers.cuts, document.tiers.otherwise),
            "preferred_channel": CHANNELS,
        }
        groups = groups_of(document.interests.values)
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
            scopes.append(Scope(names, signals, document.horizon - LOOK_BACK_DAYS, texts, groups))
        fits, stages, dimensions, tags = scopes
        return fits, stages, dimensions, tags

    def _check_signals(self, rulebook: Rulebook) -> None:
        for signal in rulebook.signals:
            if signal.name not in rulebook.used | _BUILT_IN:
                self.errors.append(f"signals.{signal.name}: nothing asks for it: use it in a rule, or take it out")
        by_id: dict[int, str] = {}
        for name in rulebook.signal_names:
            other = by_id.setdefault(signal_id(name), name)
            if other != name:
                self.errors.append(f"signals: {name} and {other} share an id: rename one of them")


def _listed(given: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (given,) if isinstance(given, str) else given


def _rates(document: Document) -> dict[str, Rates]:
    """An empty list of rates is an error that `meaning` tells."""
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
