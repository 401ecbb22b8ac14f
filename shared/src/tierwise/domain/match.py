"""Matching: which signals an interaction is an occurrence of, for a whole batch."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tierwise.domain.attributes import Entry, Kind
from tierwise.domain.calendar import BusinessDays
from tierwise.domain.dynamic_signals import OTHER_INTEREST, interest_id, unconverted_id
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.money import minor_units
from tierwise.domain.override import is_override
from tierwise.domain.rulebook.book import (
    FIRST_TOUCH,
    LAST_TOUCH,
    Matcher,
    Rulebook,
    activity_name,
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


PROFILE_UPDATE = "profile_update"
"""A type, of any channel: it tells of the customer, and is neither done by nor with them."""


def counts(interaction: Interaction) -> bool:
    """Whether it can be an occurrence of a signal; the others stand on the timeline alone."""
    return interaction.scored and interaction.type != PROFILE_UPDATE and not is_override(interaction)


def match(interactions: Sequence[Interaction], rulebook: Rulebook) -> Ledgers:
    """The ledger rows that the interactions make, unordered, with the *index of the interaction* as `customer`."""
    moments = _moments(interactions)
    day, second = rulebook.days.split(moments)
    names: list[str] = []
    members: list[Ints] = []
    values: list[Ints] = []
    dynamic: list[tuple[Ints, Ints]] = []

    def add(name: str, which: Ints, value: Ints | None = None) -> None:
        if len(which):
            names.append(name)
            members.append(which)
            values.append(np.zeros(len(which), np.int64) if value is None else value)

    for (channel, type_), which in _by_kind(interactions).items():
        scope = _Properties(interactions, which, moments, rulebook.days)
        active = _active(scope, channel, type_)
        add(activity_name(channel, active=True), which[active])
        add(activity_name(channel, active=False), which[~active])
        valued = np.zeros(scope.rows, np.bool_)
        for signal in rulebook.signals:
            if _covers(signal.matcher, channel, type_):
                chosen = _where(signal.matcher, scope)
                if signal.takes_amount:
                    add(signal.name, which[chosen], _amounts(scope, rulebook)[chosen])
                    valued |= chosen
                else:
                    add(signal.name, which[chosen])
        for places, ids in (_unconverted(valued, scope, rulebook), _interests(scope, rulebook)):
            dynamic.append((which[places], ids))

    if not names:
        none = np.empty(0, np.int64)
        return Ledgers(len(interactions), none, none, none, none, none, none)
    index = np.concatenate([*members, *(which for which, _ in dynamic)])
    ids = rulebook.signal_ids[[rulebook.signal_index[name] for name in names]]
    named = np.repeat(ids, [len(which) for which in members])
    signals = np.concatenate([named, *(ids for _, ids in dynamic)])
    value = np.concatenate([*values, *(np.zeros_like(ids) for _, ids in dynamic)])
    ones = np.ones(len(index), np.int64)
    return Ledgers(len(interactions), index, signals, day[index], second[index], ones, value)


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


def interest_of(interaction: Interaction, rulebook: Rulebook) -> str | None:
    """The interest that it tells, of those that are kept by hash."""
    value = _path(interaction.properties, rulebook.interest_property)
    return value if isinstance(value, str) and interest_id(value) != OTHER_INTEREST else None


def microseconds(interaction: Interaction) -> int:
    """Its time, in whole microseconds since 1970 UTC."""
    return int(interaction.time.timestamp()) * 1_000_000 + interaction.time.microsecond


class _Properties:
    """What a `where` sees: the properties of some interactions of one channel and type, and `hour` and `weekday`
    (1 is Monday) in the business time zone."""

    def __init__(self, interactions: Sequence[Interaction], which: Ints, moments: Ints, days: BusinessDays) -> None:
        self.rows = len(which)
        self.kept: dict[int, Column] | None = None
        self._properties = [interactions[index].properties for index in which.tolist()]
        self._moments, self._days = moments[which], days
        self._columns: dict[str, Column] = {}

    @cached_property
    def day(self) -> Ints:
        return self._days.split(self._moments)[0]

    def name(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = self._column(name)
        return self._columns[name]

    def _column(self, name: str) -> Column:
        if name == "hour":
            return self._days.hours(self._moments)
        if name == "weekday":
            return (self.day + 3) % 7 + 1  # 1970-01-01 was a Thursday
        values = [properties.get(name) for properties in self._properties]
        if "." in name or not _PLAIN.issuperset(map(type, values)):
            values = [_path(properties, name) for properties in self._properties]
        column = np.empty(self.rows, object)
        column[:] = values
        return column

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Column:
        raise AssertionError(f"the loader lets no function pass here: {function}")


def _moments(interactions: Sequence[Interaction]) -> Ints:
    """Epoch seconds."""
    seconds = map(datetime.timestamp, [one.time for one in interactions])
    return np.fromiter(seconds, np.float64, len(interactions)).astype(np.int64)


_PLAIN = frozenset({str, int, float, bool, type(None)})
"""What a `where` can compare."""


def _path(properties: dict[str, Any], name: str) -> Any:
    value: Any = properties.get(name)
    if value is None and "." in name:
        value = properties
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str | int | float) else None


def _by_kind(interactions: Sequence[Interaction]) -> dict[tuple[str, str], Ints]:
    """(channel, type) -> indexes, of those that count."""
    groups: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for index, one in enumerate(interactions):
        groups[one.channel, one.type, one.scored].append(index)
    return {
        (channel, type_): np.array(members, np.int64)
        for (channel, type_, _), members in groups.items()
        if counts(interactions[members[0]])
    }


def _covers(matcher: Matcher, channel: str, type_: str) -> bool:
    of_channel = matcher.channels is None or channel in matcher.channels
    return of_channel and (matcher.types is None or type_ in matcher.types)


def _where(matcher: Matcher, scope: _Properties) -> npt.NDArray[np.bool_]:
    return np.ones(scope.rows, np.bool_) if matcher.where is None else truth(matcher.where, scope)


def _active(scope: _Properties, channel: str, type_: str) -> npt.NDArray[np.bool_]:
    if channel == "crm" or type_ in PASSIVE.get(channel, ()):
        return np.zeros(scope.rows, np.bool_)
    if channel == "email" and type_ == "opened":  # a mail client's prefetch, not a person
        return np.array([value is not True for value in _raw(scope, "machine")], np.bool_)
    return np.ones(scope.rows, np.bool_)


def _amounts(scope: _Properties, rulebook: Rulebook) -> Ints:
    """Minor units of the base currency, at the rate of the day; 0 where there is no amount, or no rate is known."""
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


def _unconverted(valued: npt.NDArray[np.bool_], scope: _Properties, rulebook: Rulebook) -> tuple[Ints, Ints]:
    """(places, ids) of those among the `valued` whose amount is in a currency without a rate."""
    if not valued.any():
        return _NONE, _NONE
    currencies = _raw(scope, "currency")
    without = {one: unconverted_id(one) for one in set(currencies) - rulebook.rates.keys() if isinstance(one, str)}
    if not any(without.values()):
        return _NONE, _NONE
    rows = zip(valued.tolist(), _raw(scope, "amount"), currencies, strict=True)
    found = [
        (place, id_)
        for place, (chosen, amount, currency) in enumerate(rows)
        if chosen and amount is not None and (id_ := without.get(currency)) is not None
    ]
    return _columns(found)


def _interests(scope: _Properties, rulebook: Rulebook) -> tuple[Ints, Ints]:
    """(places, ids) of those that tell an interest."""
    values = _raw(scope, rulebook.interest_property)
    told = {value for value in set(values) if isinstance(value, str)}
    id_of = interest_id if rulebook.interests_by_hash else dict(rulebook.interest_ids).get
    ids = {value: id_of(value) or OTHER_INTEREST for value in told}
    return _columns([(place, ids[value]) for place, value in enumerate(values) if value in ids] if ids else [])


def _columns(pairs: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    places, ids = np.array(pairs, np.int64).reshape(-1, 2).T
    return places, ids


_NONE: Ints = np.empty(0, np.int64)


def _raw(scope: _Properties, name: str) -> list[Any]:
    listed: list[Any] = scope.name(name).tolist()
    return listed
