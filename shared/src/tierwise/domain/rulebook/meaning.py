"""What a rulebook's document means, checked beside its expressions: names, orders, sums."""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from tierwise.domain.rulebook.book import LOOK_BACK_DAYS, MILLI, OTHER
from tierwise.domain.rulebook.check import unknown
from tierwise.domain.rulebook.schema import Document, Tiers
from tierwise.domain.rulebook.shares import share_errors


def meaning_errors(document: Document) -> Iterator[str]:
    """Each with its place."""
    yield from chain(_of_intent(document), _of_money(document), _of_tiers(document.tiers), _of_interests(document))
    if document.horizon <= LOOK_BACK_DAYS:
        yield f"horizon: more than the {LOOK_BACK_DAYS} days that levels look back"
    if document.lifecycle[-1].when != "true":
        yield "lifecycle: the last stage must have `when: 'true'`, so that everyone has one"
    yield from _of_strategies(document)
    if document.labels:
        yield from _of_labels(document)


def _of_intent(document: Document) -> Iterator[str]:
    intent = document.intent
    for name in intent.points:
        if name not in document.signals:
            yield f"intent.points.{name}: {unknown('signal', name, document.signals)}"
    previous = 100.1
    for name, level in intent.levels.items():
        if level.leave > level.enter:
            yield f"intent.levels.{name}: leave {level.leave:g} must not be above enter {level.enter:g}"
        if level.enter >= previous:
            yield f"intent.levels.{name}: levels go from the highest down, without overlap"
        previous = level.leave
    yield from _of_the_rest("intent.otherwise", intent.otherwise, intent.levels)


def _of_money(document: Document) -> Iterator[str]:
    if document.currency in document.rates:
        yield f"rates: {document.currency} is the base currency, of which the rate is 1"
    for currency in (name for name, rates in document.rates.items() if not rates):
        yield f"rates.{currency}: at least one date and rate is needed"


def _of_tiers(tiers: Tiers) -> Iterator[str]:
    weights = sum(round(dimension.weight * MILLI) for dimension in tiers.dimensions.values())
    if weights != MILLI:
        yield f"tiers.dimensions: the weights add up to {weights / MILLI:g}, not 1"
    for name, dimension in tiers.dimensions.items():
        if not _ascending(dimension.scale) or not _monotonic(dimension.scale.values()):
            yield f"tiers.dimensions.{name}.scale: must rise, and its scores not change direction"
        if not all(0 <= score <= 100 for score in dimension.scale.values()):
            yield f"tiers.dimensions.{name}.scale: scores are 0 to 100"
    if not _ascending(reversed(list(tiers.cuts.values()))):
        yield "tiers.cuts: go from the highest down"
    yield from share_errors(tiers)
    yield from _of_the_rest("tiers.otherwise", tiers.otherwise, tiers.cuts)


def _of_the_rest(place: str, otherwise: str, names: Iterable[str]) -> Iterator[str]:
    if otherwise in names:
        yield f"{place}: {otherwise} stands above already: give what is left a name of its own"


def _of_interests(document: Document) -> Iterator[str]:
    values = document.interests.values
    for value in dict.fromkeys(value for value in values if values.count(value) > 1 or value == OTHER):
        yield f"interests.values: {value} " + ("is what all others count as" if value == OTHER else "stands twice")


def _of_strategies(document: Document) -> Iterator[str]:
    known = {
        "tier": (*document.tiers.cuts, document.tiers.otherwise),
        "intent": (*document.intent.levels, document.intent.otherwise),
        "stage": [stage.stage for stage in document.lifecycle],
    }
    what = {"tier": "tier", "intent": "level", "stage": "stage"}
    for aspect, named in document.strategies.items():
        for name in named:
            if name not in known[aspect]:
                yield f"strategies.{aspect}.{name}: {unknown(what[aspect], name, known[aspect])}"


def _of_labels(document: Document) -> Iterator[str]:
    named: dict[str, Iterable[str]] = {
        "signals": document.signals,
        "intent.levels": [*document.intent.levels, document.intent.otherwise],
        "intent.fit": [fit.name for fit in document.intent.fit],
        "lifecycle": [stage.stage for stage in document.lifecycle],
        "tiers": [*document.tiers.cuts, document.tiers.otherwise],
        "tiers.dimensions": document.tiers.dimensions,
        "acquisition": [touch.source for touch in document.acquisition],
        "tags": [
            f"{name}.{value}" for names in document.tags.values() for name, values in names.items() for value in values
        ],
    }
    for place, names in named.items():
        missing = [name for name in dict.fromkeys(names) if name not in document.labels]
        if missing:
            yield f"labels: missing for {place}: {', '.join(missing)}"


def _ascending(values: Iterable[float]) -> bool:
    listed = list(values)
    return all(left < right for left, right in pairwise(listed))


def _monotonic(values: Iterable[float]) -> bool:
    listed = list(values)
    return listed in (sorted(listed), sorted(listed, reverse=True))
