"""The rulebook in force: its document, parsed and checked, in the form that classifying uses."""

from bisect import bisect_right
from dataclasses import dataclass
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
from tierwise.domain.rulebook.expressions import Node
from tierwise.domain.rulebook.schema import Label

MILLI = 1_000
"""Points are integers of 1/1000 point; weights of tier dimensions of 1/1000."""

LOOK_BACK_DAYS = 90
"""A threshold's switch looks back so many daily closes for one that lies outside its band."""

FADING_BITS = 16
"""Fading is a fixed-point factor of so many bits, from a table by age in days: sums of it are exact in any order."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """`types` None: every type; `channel` None: every channel."""

    channel: str | None
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
    """`levels` from the highest down, without the last, `level_otherwise`; `cuts` (in hundredths) likewise."""

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
    tags: tuple[Tag, ...]
    strategies: dict[str, dict[str, dict[str, Any]]]
    labels: dict[str, Label]
    used: frozenset[str]
    """The signals that points and expressions ask for."""
    folding: bytes
    """What decides how interactions become ledger rows and first and last touch, as bytes: signals, time zone,
    currency, rates, interests, acquisition."""

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
        index = table[ids >> shift & (len(table) - 1)]
        return np.where(self.signal_ids[index] == ids, index, np.int16(-1))

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
        """The label in every language; the name itself where the rulebook has none."""
        label = self.labels.get(name)
        return {"en": label.en, "zh": label.zh} if label else {"en": name, "zh": name}


FIRST_TOUCH, LAST_TOUCH = "acquisition.first", "acquisition.last"
"""Attributes that the rulebook's acquisition rules make; their prefix is reserved."""

OTHER = "other"
"""The interest of every value that the rulebook does not list."""


def activity_name(channel: str, active: bool) -> str:
    """The built-in signal that counts a channel's interactions: those that the customer did, or the rest."""
    return f"activity:{channel}:{'active' if active else 'passive'}"


def interest_name(value: str) -> str:
    return f"interest:{value}"


def folding_bytes(*parts: Any) -> bytes:
    return msgspec.json.encode(parts, order="sorted")
