"""A history: ledgers as they stand at the close of a business day, aggregated as expressions ask for it."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tierwise.domain.attribute_values.age import aged
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.evaluate import Column
from tierwise.domain.runs import run_sums, spans

_CHANNELS = np.array([*CHANNELS, None], object)


class SignalRows:
    """The rows of one signal, ordered by (customer, day), and sums of them by customer. `rows`: of customers;
    `customers`: those that have the signal, ascending; `bounds`: between the rows of one of them and the next."""

    def __init__(self, ledgers: Ledgers, order: Ints, customers: Ints, bounds: Ints, day: Ints, count: Ints) -> None:
        self.rows = ledgers.customers
        self.customers, self.bounds = customers, bounds
        self.day, self.count = day, count
        self._ledgers, self._order = ledgers, order

    @cached_property
    def value(self) -> Ints:
        return self._ledgers.value[self._order]

    @cached_property
    def active(self) -> Ints:
        """1 for a day with any."""
        return np.minimum(self.count, 1)

    @cached_property
    def first_day(self) -> Ints:
        """By customer that has the signal."""
        return self.day[self.bounds[:-1]]

    @cached_property
    def last_day(self) -> Ints:
        """By customer that has the signal."""
        return self.day[self.bounds[1:] - 1]

    def sums(self, values: Ints) -> Ints:
        """One value a row -> its sum by customer that has the signal."""
        return run_sums(values, self.bounds)

    def spread(self, values: Ints, absent: int = 0) -> Ints:
        """One value by customer that has the signal -> by customer."""
        column = np.full(self.rows, absent)
        column[self.customers] = values
        return column


class History:
    """Ledgers as an expression's environment: aggregates of signals, attributes, and what is `known` so far.

    Days after `today` do not exist yet, nor do signals that the rulebook does not have. `day` and `count` are of the
    rows, ordered by (signal, customer, day); `group_signal` (its index) and `group_customer` of each signal of a
    customer, between whose rows and those of the next are `bounds`; between signals, `signal_bounds`.
    `kept`: see `Environment`. `closes`: by level, the daily close that decided on it, in days back (`classify`).
    """

    def __init__(
        self,
        ledgers: Ledgers,
        attributes: Mapping[str, Column],
        today: int,
        rulebook: Rulebook,
        kept: dict[int, Column] | None = None,
    ) -> None:
        self.rows = ledgers.customers
        self.kept = kept
        self.closes: dict[str, Ints] = {}
        self.stage_rule = self.tag_value = np.empty(0, np.int64)
        self.today = today
        self.known: dict[str, Column] = aged(attributes, today)
        self._index = rulebook.signal_index
        self._built_in = rulebook.groups
        self._horizon_days = rulebook.horizon_days
        if ledgers.day.max(initial=today) > today:
            ledgers = ledgers.where(ledgers.day <= today)
        bounds = np.append(np.flatnonzero(_begins(ledgers.customer) | _begins(ledgers.signal)), len(ledgers))
        signal = rulebook.used_signals(ledgers.signal[bounds[:-1]])
        existing = np.flatnonzero(signal >= 0)
        # Two bytes sort by radix, in linear time; stable, so that customers stay in order.
        groups = existing[np.argsort(signal[existing].astype(np.uint16), kind="stable")]
        rows, self.bounds = spans(bounds[groups], bounds[groups + 1])
        self.day, self.count = ledgers.day.take(rows), ledgers.count.take(rows)  # a quarter faster than by []
        self.group_customer, self.group_signal = ledgers.customer[bounds[groups]], signal[groups]
        self._ledgers, self._order = ledgers, rows
        first_group = np.searchsorted(self.group_signal, np.arange(len(self._index) + 1, dtype=np.int16))
        self.signal_bounds, self._groups = self.bounds[first_group], first_group.tolist()
        self._of: dict[str, SignalRows] = {}
        self._sums: dict[tuple[str, str, int | None, int], Ints] = {}

    def of(self, signal: str) -> SignalRows:
        if signal not in self._of:
            index = self._index[signal]
            first, end = self._groups[index], self._groups[index + 1]
            bounds = self.bounds[first : end + 1]
            rows = slice(bounds[0], bounds[-1])
            columns = (bounds - bounds[0], self.day[rows], self.count[rows])
            self._of[signal] = SignalRows(self._ledgers, self._order[rows], self.group_customer[first:end], *columns)
        return self._of[signal]

    def name(self, name: str) -> Column:
        return self.known[name]

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Column:
        return getattr(self, f"_{function}")(*signals, window_days)  # type: ignore[no-any-return]

    def _channels(self, window_days: int | None) -> Column:
        return self._kinds("channels", window_days)

    def _interests(self, window_days: int | None) -> Column:
        return self._kinds("interests", window_days)

    def _kinds(self, function: str, window_days: int | None) -> Column:
        """How many of the function's built-in signals there are of each customer."""
        kinds: Column = np.count_nonzero(self._counts(function, window_days)[1], axis=0)
        return kinds

    def _preferred_channel(self, window_days: int | None) -> Column:
        places, counts = self._counts("preferred_channel", window_days)
        if not places:
            return np.full(self.rows, None, object)
        best = np.where(counts.any(axis=0), np.array(places)[counts.argmax(axis=0)], len(CHANNELS))
        return _CHANNELS[best]

    def _counts(self, function: str, window_days: int | None) -> tuple[list[int], Ints]:
        """Of the function's built-in signals those that anyone has: their places in its group, and
        [these signals, customers] how often in the window."""
        group = self._built_in[function]
        places = [place for place, signal in enumerate(group) if len(self.of(signal).day)]
        counts = [self._sum_of("count", group[place], window_days) for place in places]
        return places, np.array(counts, np.int64).reshape(len(places), self.rows)

    def _sum_of(self, what: str, signal: str, window_days: int | None, back: int = 0) -> Ints:
        """Counts, values or active days of the `window_days` up to today, or of the window so many before it."""
        key = (what, signal, window_days, back)
        if key not in self._sums:
            rows = self.of(signal)
            values = getattr(rows, what)
            if window_days is not None:
                last = self.today - back * window_days
                inside = rows.day > last - window_days
                values = values * (inside if back == 0 else inside & (rows.day <= last))
            self._sums[key] = rows.spread(rows.sums(values))
        return self._sums[key]

    def _count(self, signal: str, window_days: int | None) -> Column:
        return self._sum_of("count", signal, window_days)

    def _sum(self, signal: str, window_days: int | None) -> Column:
        return self._sum_of("value", signal, window_days) / 100

    def _active_days(self, signal: str, window_days: int | None) -> Column:
        return self._sum_of("active", signal, window_days or self._horizon_days)

    def _share(self, part: str, whole: str, window_days: int | None) -> Column:
        return _ratio(self._sum_of("count", part, window_days), self._sum_of("count", whole, window_days))

    def _trend(self, signal: str, window_days: int | None) -> Column:
        before = self._sum_of("count", signal, window_days, back=1)
        return _ratio(self._sum_of("count", signal, window_days), before)

    def _days_since(self, signal: str, _: None) -> Column:
        rows = self.of(signal)
        return _known(rows.spread(self.today - rows.last_day, absent=-1))

    def _days_since_first(self, signal: str, _: None) -> Column:
        rows = self.of(signal)
        return _known(rows.spread(self.today - rows.first_day, absent=-1))

    def _longest_gap(self, signal: str, _: None) -> Column:
        rows = self.of(signal)
        gaps = np.diff(rows.day, prepend=0)
        starts = rows.bounds[:-1]
        gaps[starts] = 0
        gaps[rows.day <= self.today - self._horizon_days] = 0  # before it, days are folded together
        return rows.spread(np.maximum.reduceat(gaps, starts) if len(gaps) else gaps)


def _begins(values: Ints) -> npt.NDArray[np.bool_]:
    """Where a value is another one than that before it; the first one is."""
    begins = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins


def _ratio(part: Ints, whole: Ints) -> Column:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _known(days: Ints) -> Column:
    """-1 is not known."""
    return np.where(days >= 0, days, np.nan)
