"""What a classification is, said a second time: slow, plain Python, one customer at a time, straight from the
interactions, without ledgers and without NumPy. The kernel has to agree with it exactly."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from tests.support.reference_attributes import Fact, attribute_of
from tests.support.reference_expressions import number, truth
from tierwise.domain.dynamic_signals import kept_interests
from tierwise.domain.interaction import CHANNELS, Interaction
from tierwise.domain.rulebook.book import Fit, Matcher, Points, Rulebook, Tag
from tierwise.domain.updates import Updates

POINT = 1_000 << 16
"""One point, in the unit of `Expected.points`."""

LOOK_BACK_DAYS = 90
INTERESTS_MAX = 5
OVERRIDE = ("crm", "override")
DONE_TO_CUSTOMERS = {
    ("email", "sent"), ("email", "delivered"), ("email", "bounced"), ("sms", "sent"), ("sms", "delivered"),
    ("sms", "bounced"), ("call", "missed"), ("call", "refused"), ("call", "wrong_number"), ("call", "voicemail"),
    ("meeting", "scheduled"), ("meeting", "no_show"), ("ad", "impression"), ("quote", "sent"),
}  # fmt: skip

Occurrences = dict[str, list[tuple[date, int]]]
"""By signal: the business day of each occurrence, and its minor units."""


@dataclass(frozen=True)
class Expected:
    """`points` in 1/65,536,000 point, `score` and `dimensions` in tenths, `tier_score` in hundredths."""

    points: int
    score: int
    level: str
    stage: str
    tier: str
    tier_score: int
    dimensions: tuple[int, ...]
    tags: tuple[tuple[str, str, str], ...]
    interests: tuple[str, ...]


def reference(interactions: Iterable[Interaction], now: datetime, rulebook: Rulebook) -> Expected:
    """The classification of the one customer whom the interactions belong to."""
    distinct = list({one.key: one for one in interactions}.values())
    today = _business_day(now, rulebook)
    scored = [one for one in distinct if one.scored]
    counted = [one for one in scored if _is_counted(one)]
    past = Past(
        occurrences_of(counted, rulebook), aged(attributes_of(scored, rulebook), today), today, rulebook.horizon_days
    )
    points = points_of(past, rulebook)
    score = score_of(points, rulebook)
    level = _level(score, past, rulebook)
    past.known |= {"intent": score / 10, "intent.level": level}
    stage = next(stage.name for stage in rulebook.stages if truth(stage.when, past))
    past.known["stage"] = stage
    dimensions = []
    for dimension in rulebook.dimensions:
        tenths = round(_interpolated(number(dimension.metric, past) or 0.0, *dimension.scale) * 10)
        dimensions.append(tenths)
        past.known[f"tier.{dimension.name}"] = tenths / 10
    weighted = sum(one.weight * tenths for one, tenths in zip(rulebook.dimensions, dimensions, strict=True))
    tier_score = _divided(weighted, 100)
    tier = next((name for name, cut in rulebook.cuts if tier_score >= cut), rulebook.tier_otherwise)
    past.known |= {"tier.score": tier_score / 100, "tier": tier}
    found = {"intent": level, "lifecycle": stage, "tier": tier}
    for tag in rulebook.tags:
        values = zip(tag.values, tag.conditions, strict=True)
        found[_aspect(tag)] = next((name for name, when in values if truth(when, past)), "")
    found |= _overrides(distinct, now, rulebook)
    return Expected(
        points, score, found["intent"], found["lifecycle"], found["tier"], tier_score, tuple(dimensions),
        tuple((tag.family, tag.name, found[_aspect(tag)]) for tag in rulebook.tags if found[_aspect(tag)]),
        _interests(counted, rulebook),
    )  # fmt: skip


def _is_counted(one: Interaction) -> bool:
    return one.type != "profile_update" and (one.channel, one.type) != OVERRIDE


class Past:
    """A customer as known at the close of a day: what happened up to it, and today's attributes. What is older than
    the horizon is folded together: it has no days of its own any more."""

    def __init__(self, occurrences: Occurrences, attributes: dict[str, Any], day: date, horizon_days: int) -> None:
        self.occurrences, self.attributes, self.day, self.horizon_days = occurrences, attributes, day, horizon_days
        self.known: dict[str, Any] = {}

    @property
    def computed(self) -> frozenset[str]:
        return frozenset(name for name, value in self.known.items() if isinstance(value, float))

    def at(self, day: date) -> "Past":
        return Past(self.occurrences, self.attributes, day, self.horizon_days)

    def name(self, name: str) -> Any:
        value = self.known[name] if name in self.known else self.attributes.get(name)
        return None if isinstance(value, list) else value

    def within(self, signal: str, window_days: int | None, windows_back: int = 0) -> list[tuple[date, int]]:
        """The signal's occurrences up to the day, or in so many days up to it, or in that window moved back."""
        happened = [one for one in self.occurrences.get(signal, []) if one[0] <= self.day]
        if window_days is None:
            return happened
        last = self.day - timedelta(days=window_days * windows_back)
        return [one for one in happened if last - timedelta(days=window_days) < one[0] <= last]

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Any:
        if not signals:
            return self._of_groups(function, window_days)
        here = self.within(signals[0], window_days)
        days = sorted({day for day, _ in here})
        match function:
            case "count":
                return len(here)
            case "sum":
                return sum(value for _, value in here) / 100
            case "active_days":
                return len({day for day, _ in self.within(signals[0], window_days or self.horizon_days)})
            case "days_since":
                return (self.day - days[-1]).days if days else None
            case "days_since_first":
                return (self.day - days[0]).days if days else None
            case "longest_gap":
                kept = self.day - timedelta(days=self.horizon_days)
                return max(((after - before).days for before, after in pairwise(days) if after > kept), default=0)
            case "share":
                whole = self.within(signals[1], window_days)
            case "trend":
                whole = self.within(signals[0], window_days, windows_back=1)
        return len(here) / len(whole) if whole else None

    def _of_groups(self, function: str, window_days: int | None) -> Any:
        prefix = "interest:" if function == "interests" else "channel:"
        names = sorted(name for name in self.occurrences if name.startswith(prefix))
        counts = {name.removeprefix(prefix): len(self.within(name, window_days)) for name in names}
        used = [name for name, count in counts.items() if count]
        if function != "preferred_channel":
            return len(used)
        return min(used, key=lambda name: (-counts[name], CHANNELS.index(name)), default=None)


class Properties:
    """What a `where` sees of an interaction."""

    computed = frozenset({"hour", "weekday"})

    def __init__(self, one: Interaction, rulebook: Rulebook) -> None:
        self._properties = one.properties
        self._local = one.time.astimezone(rulebook.days.zone)

    def name(self, name: str) -> Any:
        if name == "hour":
            return self._local.hour
        if name == "weekday":
            return self._local.isoweekday()
        value: Any = self._properties.get(name)
        if value is None and "." in name:
            value = self._properties
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        return value if isinstance(value, str | int | float) else None

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> float | None:
        raise AssertionError(f"no functions of single interactions: {function}")


def occurrences_of(interactions: Sequence[Interaction], rulebook: Rulebook) -> Occurrences:
    found: Occurrences = defaultdict(list)
    for one in interactions:
        scope, day = Properties(one, rulebook), _business_day(one.time, rulebook)
        for signal in rulebook.signals:
            if _fits(signal.matcher, one, scope):
                found[signal.name].append((day, _amount(one, rulebook) if signal.takes_amount else 0))
        if _is_active(one):
            found[f"channel:{one.channel}"].append((day, 0))
        if isinstance(value := one.properties.get(rulebook.interest_property), str):
            found[f"interest:{value if value in rulebook.interests else 'other'}"].append((day, 0))
    return found


def _is_active(one: Interaction) -> bool:
    """Whether the customer did it, and not someone else to them."""
    if (one.channel, one.type) == ("email", "opened"):
        return one.properties.get("machine") is not True
    return one.channel != "crm" and (one.channel, one.type) not in DONE_TO_CUSTOMERS


def attributes_of(interactions: Sequence[Interaction], rulebook: Rulebook) -> dict[str, Any]:
    """First and last touch among them."""
    in_order = sorted(interactions, key=lambda one: (one.time, one.key))
    said = [Fact(_microseconds(one), one.key, one.attributes, one.updates or Updates()) for one in in_order]
    names = {name for one in said for name in (*one.attributes, *one.updates.names())}
    held = {name: attribute_of(name, said) for name in names}
    touched = []
    for one in filter(_is_counted, in_order):
        scope = Properties(one, rulebook)
        touched += [source for source, matcher in rulebook.acquisition if _fits(matcher, one, scope)][:1]
    if touched:
        held |= {"acquisition.first": touched[0], "acquisition.last": touched[-1]}
    return held


def _microseconds(one: Interaction) -> int:
    return (one.time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def aged(attributes: dict[str, Any], today: date) -> dict[str, Any]:
    """With the age of the year and its group, where the year of birth is known."""
    born = attributes.get("birth_year")
    if type(born) is not int or not 1900 <= born < 2150:
        return attributes
    age = today.year - born
    group = "senior" if age >= 60 else "middle" if age >= 36 else "young" if age >= 14 else None
    return attributes | {"age": age if age >= 0 else None, "age_group": group}


def points_of(past: Past, rulebook: Rulebook) -> int:
    total = sum(worth_of(points, past) for points in rulebook.points) + sum(fit_of(fit, past) for fit in rulebook.fit)
    return max(total, 0)


def worth_of(points: Points, past: Past) -> int:
    """Of one signal: each occurrence fades with its age, and together they are capped."""
    happened = past.occurrences.get(points.signal, [])
    ages = [(past.day - day).days for day, _ in happened if day <= past.day]
    ages = [age for age in ages if age < past.horizon_days - LOOK_BACK_DAYS]
    worth = points.each * sum(_fading(age, points.half_life_days) for age in ages)
    if points.at_most is None:
        return worth
    limit = points.at_most << 16
    return max(-limit, min(worth, limit))


def fit_of(fit: Fit, past: Past) -> int:
    return fit.points << 16 if truth(fit.when, past) else 0


def score_of(points: int, rulebook: Rulebook) -> int:
    """100 p / (p + half_score), in tenths, rounded half up."""
    return _divided(1000 * points, points + (rulebook.half_score << 16))


@lru_cache(maxsize=65_536)
def _fading(age_days: int, half_life_days: int) -> int:
    fading: float = 2.0 ** (-age_days / half_life_days)
    return round(fading * 65_536)


def _level(score: int, past: Past, rulebook: Rulebook) -> str:
    name = rulebook.level_otherwise
    for level in reversed(rulebook.levels):
        at_close, day = score, past.day
        while level.leave <= at_close < level.enter and (past.day - day).days < LOOK_BACK_DAYS:
            day -= timedelta(days=1)
            at_close = score_of(points_of(past.at(day), rulebook), rulebook)
        if at_close < level.enter:
            break
        name = level.name
    return name


def _overrides(interactions: Sequence[Interaction], now: datetime, rulebook: Rulebook) -> dict[str, str]:
    """By aspect: what a person set last, unless that has expired, was taken back or is no value that there is."""
    last: dict[str, dict[str, Any]] = {}
    for one in sorted(interactions, key=lambda one: (one.time, one.key)):
        if (one.channel, one.type) == OVERRIDE:
            last[one.properties["aspect"]] = one.properties
    possible = {"intent": rulebook.level_names, "lifecycle": rulebook.stage_names, "tier": rulebook.tier_names}
    possible |= {_aspect(tag): tag.values for tag in rulebook.tags}
    holding = {}
    for aspect, said in last.items():
        value, expires = said.get("value"), said.get("expires")
        lasts = expires is None or now < datetime.fromisoformat(expires)
        if lasts and value is not None and value in possible.get(aspect, ()):
            holding[aspect] = value
    return holding


def _aspect(tag: Tag) -> str:
    return f"tag:{tag.family}.{tag.name}"


def _interests(interactions: Sequence[Interaction], rulebook: Rulebook) -> tuple[str, ...]:
    values = [one.properties.get(rulebook.interest_property) for one in interactions]
    told = [value for value in values if isinstance(value, str)]
    kept = rulebook.interests or kept_interests({value for value in told if value not in ("", "other")})
    counts = Counter(value if value in kept else "other" for value in told)
    order = [*(rulebook.interests or sorted(kept)), "other"]
    return tuple(sorted(counts, key=lambda value: (-counts[value], order.index(value)))[:INTERESTS_MAX])


def _business_day(moment: datetime, rulebook: Rulebook) -> date:
    return moment.astimezone(rulebook.days.zone).date()


def _fits(matcher: Matcher, one: Interaction, scope: Properties) -> bool:
    return (
        (matcher.channels is None or one.channel in matcher.channels)
        and (matcher.types is None or one.type in matcher.types)
        and (matcher.where is None or truth(matcher.where, scope))
    )


def _amount(one: Interaction, rulebook: Rulebook) -> int:
    """Minor units at the latest rate on or before the day, else the first one; 0 without amount or rate."""
    amount = one.properties.get("amount")
    rates = rulebook.rates.get(one.properties.get("currency") or rulebook.currency)
    if amount is None or rates is None:
        return 0
    day = _business_day(one.time, rulebook)
    dated = [
        (date(1970, 1, 1) + timedelta(days=start), rate) for start, rate in zip(rates.days, rates.rates, strict=True)
    ]
    rate = max([pair for pair in dated if pair[0] <= day], default=min(dated))[1]
    return round(Fraction(str(amount)) * Fraction(rate) * 100)


def _interpolated(metric: float, metrics: tuple[float, ...], scores: tuple[float, ...]) -> float:
    """On the straight line between the two nearest points of the scale; flat beyond its ends."""
    if metric >= metrics[-1]:
        return scores[-1]
    if metric < metrics[0]:
        return scores[0]
    above = next(index for index, one in enumerate(metrics) if one > metric)
    slope = (scores[above] - scores[above - 1]) / (metrics[above] - metrics[above - 1])
    return slope * (metric - metrics[above - 1]) + scores[above - 1]


def _divided(dividend: int, divisor: int) -> int:
    """Rounded half up."""
    return (2 * dividend + divisor) // (2 * divisor)
