"""Matching: which signals an interaction is an occurrence of, for a whole batch."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tierwise.domain.attributes import Entry, Kind
from tierwise.domain.calendar import BusinessDays
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.money import minor_units
from tierwise.domain.rulebook.book import (
    FIRST_TOUCH,
    LAST_TOUCH,
    OTHER,
    Matcher,
    Rulebook,
    Signal,
    activity_name,
    interest_name,
)
from tierwise.domain.rulebook.evaluate import Column, truth

PASSIVE = {
    "email": frozenset({"sent", "delivered", "bounced"}),
    "sms": frozenset({"sent", "delivered", "bounced"}),
    "call": frozenset({"missed", "refused", "wrong_number", "voicemail"}),
    "meeting": frozenset({"scheduled", "no_show"}),
    "ad": frozenset({"impression"}),
    "quote": frozenset({"sent"}),
}
"""What is done to a customer rather than by them; everything of the channel crm is, too."""


UNCOUNTED = frozenset({("crm", "override")})
"""On the timeline, but neither done by nor with the customer: no occurrence of any signal."""


def match(interactions: Sequence[Interaction], rulebook: Rulebook) -> Ledgers:
    """The ledger rows that the interactions make, unordered, with the *index of the interaction* as `customer`."""
    moments = _moments(interactions)
    day, second = rulebook.days.split(moments)
    names: list[str] = []
    members: list[Ints] = []
    values: list[Ints] = []

    def add(name: str, which: Ints, value: Ints | None = None) -> None:
        if len(which):
            names.append(name)
            members.append(which)
            values.append(np.zeros(len(which), np.int64) if value is None else value)

    for (channel, type_), which in _by_kind(interactions).items():
        if (channel, type_) in UNCOUNTED:
            continue
        scope = _Properties(interactions, which, moments, rulebook.days)
        active = _active(scope, channel, type_)
        add(activity_name(channel, active=True), which[active])
        add(activity_name(channel, active=False), which[~active])
        for signal in rulebook.signals:
            if _covers(signal.matcher, channel, type_):
                chosen = _where(signal.matcher, scope)
                add(signal.name, which[chosen], _amounts(signal, scope, rulebook)[chosen])
        for value, chosen in _interests(scope, rulebook).items():
            add(interest_name(value), which[chosen])

    if not names:
        none = np.empty(0, np.int64)
        return Ledgers(len(interactions), none, none, none, none, none, none)
    index = np.concatenate(members)
    ids = rulebook.signal_ids[[rulebook.signal_index[name] for name in names]]
    signals = np.repeat(ids, [len(which) for which in members])
    ones = np.ones(len(index), np.int64)
    return Ledgers(len(interactions), index, signals, day[index], second[index], ones, np.concatenate(values))


def touches(interactions: Sequence[Interaction], rulebook: Rulebook) -> dict[int, list[tuple[str, Entry]]]:
    """For interactions that tell where the customer came from: index -> first and last touch, as attributes."""
    found: dict[int, list[tuple[str, Entry]]] = {}
    moments = _moments(interactions)
    for (channel, type_), which in _by_kind(interactions).items():
        scope = _Properties(interactions, which, moments, rulebook.days)
        open_ = np.ones(len(which), np.bool_)
        for source, matcher in rulebook.acquisition:
            if not _covers(matcher, channel, type_):
                continue
            chosen = open_ & _where(matcher, scope)
            open_ &= ~chosen
            for index in which[chosen].tolist():
                one = interactions[index]
                time_us, key = microseconds(one), one.key
                found[index] = [
                    (FIRST_TOUCH, Entry(Kind.FIRST, time_us, key, source)),
                    (LAST_TOUCH, Entry(Kind.LATEST, time_us, key, source)),
                ]
    return found


def microseconds(interaction: Interaction) -> int:
    """Its time, in whole microseconds since 1970 UTC."""
    return int(interaction.time.timestamp()) * 1_000_000 + interaction.time.microsecond


class _Properties:
    """What a `where` sees: the properties of some interactions of one channel and type, and `hour` and `weekday`
    (1 is Monday) in the business time zone."""

    def __init__(self, interactions: Sequence[Interaction], which: Ints, moments: Ints, days: BusinessDays) -> None:
        self.rows = len(which)
        self.kept: dict[int, Column] | None = None
        self._interactions = [interactions[index] for index in which.tolist()]
        self._moments, self._days = moments[which], days
        self._columns: dict[str, Column] = {}

    @cached_property
    def day(self) -> Ints:
        return self._days.split(self._moments)[0]

    def name(self, name: str) -> Column:
        if name == "hour":
            return self._days.hours(self._moments)
        if name == "weekday":
            return (self.day + 3) % 7 + 1  # 1970-01-01 was a Thursday
        if name not in self._columns:
            column = np.empty(self.rows, object)
            column[:] = [_path(one.properties, name) for one in self._interactions]
            self._columns[name] = column
        return self._columns[name]

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Column:
        raise AssertionError(f"the loader lets no function pass here: {function}")


def _moments(interactions: Sequence[Interaction]) -> Ints:
    """Epoch seconds."""
    return np.fromiter((int(one.time.timestamp()) for one in interactions), np.int64, len(interactions))


def _path(properties: dict[str, Any], name: str) -> Any:
    value: Any = properties.get(name)
    if value is None and "." in name:
        value = properties
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str | int | float) else None


def _by_kind(interactions: Sequence[Interaction]) -> dict[tuple[str, str], Ints]:
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, one in enumerate(interactions):
        groups[one.channel, one.type].append(index)
    return {kind: np.array(members, np.int64) for kind, members in groups.items()}


def _covers(matcher: Matcher, channel: str, type_: str) -> bool:
    return matcher.channel in (None, channel) and (matcher.types is None or type_ in matcher.types)


def _where(matcher: Matcher, scope: _Properties) -> npt.NDArray[np.bool_]:
    return np.ones(scope.rows, np.bool_) if matcher.where is None else truth(matcher.where, scope)


def _active(scope: _Properties, channel: str, type_: str) -> npt.NDArray[np.bool_]:
    if channel == "crm" or type_ in PASSIVE.get(channel, ()):
        return np.zeros(scope.rows, np.bool_)
    if channel == "email" and type_ == "opened":  # a mail client's prefetch, not a person
        return np.array([value is not True for value in _raw(scope, "machine")], np.bool_)
    return np.ones(scope.rows, np.bool_)


def _amounts(signal: Signal, scope: _Properties, rulebook: Rulebook) -> Ints:
    """Minor units of the base currency, at the rate of the day; 0 where there is no amount, or no rate is known."""
    if not signal.takes_amount:
        return np.zeros(scope.rows, np.int64)
    columns = (_raw(scope, "amount"), _raw(scope, "currency"), scope.day.tolist())
    return np.array(
        [
            minor_units(amount, rates.on(day))
            if amount is not None and (rates := rulebook.rates.get(currency or rulebook.currency))
            else 0
            for amount, currency, day in zip(*columns, strict=True)
        ],
        np.int64,
    )


def _interests(scope: _Properties, rulebook: Rulebook) -> dict[str, npt.NDArray[np.bool_]]:
    values = _raw(scope, rulebook.interest_property)
    if not any(isinstance(value, str) for value in values):
        return {}
    known = frozenset(rulebook.interests)
    named = np.array(
        [(value if value in known else OTHER) if isinstance(value, str) else "" for value in values], object
    )
    return {value: named == value for value in set(named.tolist()) - {""}}


def _raw(scope: _Properties, name: str) -> list[Any]:
    listed: list[Any] = scope.name(name).tolist()
    return listed
