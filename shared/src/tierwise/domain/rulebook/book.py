"""The rulebook in force: its document, parsed and checked, in the form that classifying uses."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tierwise.domain.calendar import BusinessDays
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.ledger import SIGNAL_BITS, signal_id
from tierwise.domain.rulebook.expressions import Call, Name, Node
from tierwise.domain.rulebook.schema import Label, Schedule
from tierwise.domain.rulebook.texts import Texts, texts_of

MILLI = 1_000
"""Points are integers of 1/1000 point; weights of tier dimensions of 1/1000."""

LOOK_BACK_DAYS = 90
"""A threshold's switch looks back so many daily closes for one that lies outside its band."""

PART_MAX = 1 << 44
"""What one signal gives at most, in 1/1000 point times 2**FADING_BITS: so that sums stay within 63 bits."""

FADING_BITS = 16
"""Fading is a fixed-point factor of so many bits, from a table by age in days: sums of it are exact in any order."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """`types` None: every type; `channels` None: every channel."""

    channels: tuple[str, ...] | None
    types: tuple[str, ...] | None
    where: Node | None


@dataclass(frozen=True, slots=True)
class Signal:
    name: str
    matcher: Matcher
    takes_amount: bool


@dataclass(frozen=True, slots=True)
class Points:
    """`each` and `at_most` in 1/1000 point; `fading[age in days]` of FADING_BITS bits; the last is 0,
    and stands for all ages after it."""

    signal: str
    each: int
    at_most: int | None
    half_life_days: int
    fading: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PointsTable:
    """All Points at once. `place`: by index of a signal, its place among them, -1 for none, which is the last place and
    gives nothing. By place: `start`, where its factor of today stands in `fading`; `each`; and `limit`, in 1/1000 point
    times 2**FADING_BITS. In `fading` there are zeros for LOOK_BACK_DAYS before today, when what is of today had not
    happened yet, and for as many before the age `oldest`, from which on nothing is left."""

    place: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    fading: npt.NDArray[np.int64]
    oldest: int
    each: npt.NDArray[np.int64]
    limit: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fit:
    name: str
    when: Node
    points: int


@dataclass(frozen=True, slots=True)
class Level:
    """`enter` and `leave`: tenths of a score point."""

    name: str
    enter: int
    leave: int


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    when: Node


@dataclass(frozen=True, slots=True)
class Dimension:
    """`weight` in 1/1000; `scale`: metric values ascending, and the score 0 to 100 at each."""

    name: str
    metric: Node
    weight: int
    scale: tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Shares:
    """`down_to[t]`: the share of the customers that are of tier t or a higher one, in 1/10,000."""

    down_to: tuple[int, ...]
    taken: Schedule
    quiet: bool


@dataclass(frozen=True, slots=True)
class Tag:
    """The first value whose condition holds is the tag's."""

    family: str
    name: str
    values: tuple[str, ...]
    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """`days` ascend; `rates[i]` holds from `days[i]` on, and `rates[0]` before it too."""

    days: tuple[int, ...]
    rates: tuple[Decimal, ...]

    def on(self, day: int) -> Decimal:
        """The latest rate on or before a business day, else the first."""
        return self.rates[max(bisect_right(self.days, day) - 1, 0)]


@dataclass(frozen=True, eq=False)
class Rulebook:
    """`levels` from the highest down, without the last, `level_otherwise`; `cuts` (in hundredths) likewise: the fixed
    ones, or those of the number `cuts_number`, which were taken as `shares` of the customers."""

    version: str
    days: BusinessDays
    currency: str
    rates: dict[str, "Rates"]
    """Of every currency that is known: the base currency too."""
    horizon_days: int
    attributes: tuple[str, ...]
    signals: tuple[Signal, ...]
    interest_property: str
    interests: tuple[str, ...]
    acquisition: tuple[tuple[str, Matcher], ...]
    points: tuple[Points, ...]
    fit: tuple[Fit, ...]
    half_score: int
    levels: tuple[Level, ...]
    level_otherwise: str
    stages: tuple[Stage, ...]
    dimensions: tuple[Dimension, ...]
    cuts: tuple[tuple[str, int], ...]
    tier_otherwise: str
    shares: Shares | None
    tags: tuple[Tag, ...]
    strategies: dict[str, dict[str, dict[str, Any]]]
    labels: dict[str, Label]
    used: frozenset[str]
    """The signals that points and expressions ask for."""
    folding: bytes
    """What decides how interactions become ledger rows and first and last touch, as bytes: signals, time zone,
    currency, rates, interests, acquisition, and the horizon, before which rows are folded together."""
    cuts_number: int | None = None

    def cut_at(self, scores: Sequence[int], number: int | None) -> "Rulebook":
        """The same with its tiers cut at these scores, from the highest down, in place of the fixed ones."""
        names = [name for name, _ in self.cuts]
        return replace(self, cuts=tuple(zip(names, scores, strict=True)), cuts_number=number)

    def horizon_day(self, now: datetime) -> int:
        """The first business day that keeps ledger rows of its own."""
        return self.days.day_of(now) - self.horizon_days

    @cached_property
    def fold_version(self) -> int:
        """32 bits that change when, and only when, interactions have to be folded again."""
        return int.from_bytes(blake2b(self.folding, digest_size=4).digest(), "little")

    @cached_property
    def signal_names(self) -> tuple[str, ...]:
        """All names that a ledger row can have, in the order of `signal_ids`."""
        names = [signal.name for signal in self.signals]
        names += [activity_name(channel, active) for channel in CHANNELS for active in (True, False)]
        names += [interest_name(value) for value in (*self.interests, OTHER)]
        return tuple(sorted(names, key=signal_id))

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """By function without a signal: the built-in signals that it looks at, in the order that breaks ties."""
        return groups_of(self.interests)

    def signals_of(self, call: Call) -> tuple[str, ...]:
        """The signals that a function looks at."""
        named = tuple(argument.name for argument in call.arguments if isinstance(argument, Name))
        return named or self.groups[call.function]

    @cached_property
    def signal_ids(self) -> npt.NDArray[np.int64]:
        return np.array([signal_id(name) for name in self.signal_names], np.int64)

    @cached_property
    def signal_index(self) -> dict[str, int]:
        """Name to index in `signal_names`."""
        return {name: index for index, name in enumerate(self.signal_names)}

    @cached_property
    def _lookup(self) -> tuple[int, npt.NDArray[np.int16]]:
        """(shift, table): the index of a used signal stands at its id's bits from `shift` up, without collision."""
        ids = {signal_id(name): self.signal_index[name] for name in self.used}
        for bits in range(8, SIGNAL_BITS + 1):
            for shift in range(SIGNAL_BITS - bits + 1):
                places = {id_ >> shift & ((1 << bits) - 1): index for id_, index in ids.items()}
                if len(places) == len(ids):
                    table = np.full(1 << bits, -1, np.int16)
                    table[list(places)] = list(places.values())
                    return shift, table
        raise AssertionError("ids are unique: the loader sees to it")

    def used_signals(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
        """The index in `signal_names` of each id, -1 for what no rule asks for."""
        shift, table = self._lookup
        index: npt.NDArray[np.int16] = table[ids >> shift & (len(table) - 1)]
        index[self.signal_ids[index] != ids] = -1
        return index

    @cached_property
    def tag_texts(self) -> tuple[Texts | None, ...]:
        """By tag: its conditions as one look-up, if they can be."""
        return tuple(texts_of(tag.conditions) for tag in self.tags)

    @cached_property
    def points_table(self) -> PointsTable:
        oldest = LOOK_BACK_DAYS + max((len(points.fading) for points in self.points), default=1) - 1
        fading = np.zeros((len(self.points) + 1, LOOK_BACK_DAYS + oldest + 1), np.int64)
        place = np.full(len(self.signal_names), -1)
        for index, points in enumerate(self.points):
            fading[index, LOOK_BACK_DAYS : LOOK_BACK_DAYS + len(points.fading)] = points.fading
            place[self.signal_index[points.signal]] = index
        return PointsTable(
            place,
            np.arange(len(fading)) * fading.shape[1] + LOOK_BACK_DAYS,
            fading.ravel(),
            oldest,
            np.array([*(points.each for points in self.points), 0]),
            np.array([*(PART_MAX if one.at_most is None else one.at_most << FADING_BITS for one in self.points), 0]),
        )

    @property
    def interests_by_hash(self) -> bool:
        """Whether interests are kept by hash (`dynamic_signals`), since the rulebook lists none."""
        return not self.interests

    @cached_property
    def interest_ids(self) -> tuple[tuple[str, int], ...]:
        """The interests and their signals' ids, in the rulebook's order; OTHER is the last."""
        return tuple((value, signal_id(interest_name(value))) for value in (*self.interests, OTHER))

    @cached_property
    def level_names(self) -> tuple[str, ...]:
        """By code: 0 is the lowest."""
        return (self.level_otherwise, *(level.name for level in reversed(self.levels)))

    @cached_property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(stage.name for stage in self.stages))

    @cached_property
    def tier_names(self) -> tuple[str, ...]:
        """By code: 0 is the highest."""
        return (*(name for name, _ in self.cuts), self.tier_otherwise)

    @cached_property
    def result(self) -> np.dtype[np.void]:
        """A customer's classification as it is stored. Codes index the names above; a tag's is 0 for none, else
        1 + the index of its value. `points`: 1/1000 point times 2**FADING_BITS; `score`: tenths; `tier_score`:
        hundredths; `dimensions`: tenths."""
        return np.dtype(
            [
                ("points", "<i8"),
                ("score", "<i2"),
                ("level", "u1"),
                ("stage", "u1"),
                ("tier", "u1"),
                ("tier_score", "<i2"),
                ("dimensions", "<i2", (len(self.dimensions),)),
                ("tags", "u1", (len(self.tags),)),
            ]
        )

    @cached_property
    def dimension_labels(self) -> list[tuple[str, dict[str, str]]]:
        """(name, label) of the tier's dimensions, in their order."""
        return [(dimension.name, self.label(dimension.name)) for dimension in self.dimensions]

    @cached_property
    def intent_labels(self) -> list[tuple[str, dict[str, str]]]:
        """(name, label) of what makes the intent score: `points`, then `fit`."""
        names = [*(points.signal for points in self.points), *(fit.name for fit in self.fit)]
        return [(name, self.label(name)) for name in names]

    def label(self, name: str) -> dict[str, str]:
        """The label in every language, one object for all who ask; the name itself where the rulebook has none."""
        return self._labels.get(name) or {"en": name, "zh": name}

    @cached_property
    def _labels(self) -> dict[str, dict[str, str]]:
        return {name: {"en": label.en, "zh": label.zh} for name, label in self.labels.items()}


FIRST_TOUCH, LAST_TOUCH = "acquisition.first", "acquisition.last"
"""Attributes that the rulebook's acquisition rules make; their prefix is reserved."""

OTHER = "other"
"""The interest of every value that is not kept: those that the rulebook does not list, if it lists any."""


def activity_name(channel: str, active: bool) -> str:
    """The built-in signal that counts a channel's interactions: those that the customer did, or the rest."""
    return f"activity:{channel}:{'active' if active else 'passive'}"


def interest_name(value: str) -> str:
    return f"interest:{value}"


def groups_of(interests: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """See `Rulebook.groups`. There is no group of interests that are kept by hash."""
    active = tuple(activity_name(channel, active=True) for channel in CHANNELS)
    groups = {"channels": active, "preferred_channel": active}
    if interests:
        groups["interests"] = tuple(interest_name(value) for value in (*interests, OTHER))
    return groups


def folding_bytes(*parts: Any) -> bytes:
    return msgspec.json.encode(parts, order="sorted")
