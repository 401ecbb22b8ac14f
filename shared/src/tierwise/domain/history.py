"""A history: ledgers as they stand at the close of a business day, aggregated as expressions ask for it."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from tierwise.domain.attribute_values.age import aged
from tierwise.domain.ledger import Ints, Ledgers, run_starts
from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.evaluate import Column


class SignalRows:
    """The rows of one signal, ordered by (customer, day), and sums of them by customer. `rows`: of customers."""

    def __init__(self, rows: int, customer: Ints, day: Ints, count: Ints, value: Ints) -> None:
        self.rows = rows
        self.customer, self.day, self.count, self.value = customer, day, count, value

    @cached_property
    def starts(self) -> Ints:
        """Where each customer's rows begin."""
        return run_starts(self.customer)

    @cached_property
    def customers(self) -> Ints:
        """The customers that have the signal, ascending."""
        return self.customer[self.starts]

    @cached_property
    def last_day(self) -> Ints:
        """By customer that has the signal."""
        return self.day[np.append(self.starts[1:], len(self.day)) - 1] if len(self.day) else self.day

    def sums(self, values: Ints) -> Ints:
        """One value a row -> its sum by customer that has the signal."""
        return np.add.reduceat(values, self.starts) if len(values) else values

    def spread(self, values: Ints, absent: int = 0) -> Ints:
        """One value by customer that has the signal -> by customer."""
        column = np.full(self.rows, absent)
        column[self.customers] = values
        return column


class History:
    """Ledgers as an expression's environment: aggregates of signals, attributes, and what is `known` so far.

    Days after `today` do not exist yet, nor do signals that the rulebook does not have.
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
        self.today = today
        self.known: dict[str, Column] = aged(attributes, today)
        self._index = rulebook.signal_index
        self._horizon_days = rulebook.horizon_days
        signal = rulebook.used_signals(ledgers.signal)
        existing = np.flatnonzero((signal >= 0) & (ledgers.day <= today))
        # Two bytes sort by radix, in linear time; stable, so that customers and days stay in order.
        order = existing[np.argsort(signal[existing].astype(np.uint16), kind="stable")]
        self._columns = tuple(column[order] for column in (ledgers.customer, ledgers.day, ledgers.count, ledgers.value))
        self._bounds = np.searchsorted(signal[order], np.arange(len(self._index) + 1)).tolist()
        self._of: dict[str, SignalRows] = {}
        self._sums: dict[tuple[str, str, int | None, int], Ints] = {}

    def of(self, signal: str) -> SignalRows:
        if signal not in self._of:
            index = self._index[signal]
            rows = slice(self._bounds[index], self._bounds[index + 1])
            self._of[signal] = SignalRows(self.rows, *(column[rows] for column in self._columns))
        return self._of[signal]

    def name(self, name: str) -> Column:
        return self.known[name]

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Column:
        return getattr(self, f"_{function}")(*signals, window_days)  # type: ignore[no-any-return]

    def _sum_of(self, what: str, signal: str, window_days: int | None, back: int = 0) -> Ints:
        """Counts, values or active days of the `window_days` up to today, or of the window so many before it."""
        key = (what, signal, window_days, back)
        if key not in self._sums:
            rows = self.of(signal)
            values = np.minimum(rows.count, 1) if what == "active" else getattr(rows, what)
            if window_days is not None:
                last = self.today - back * window_days
                values = values * ((rows.day > last - window_days) & (rows.day <= last))
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
        return _known(rows.spread(self.today - rows.day[rows.starts], absent=-1))

    def _longest_gap(self, signal: str, _: None) -> Column:
        rows = self.of(signal)
        gaps = np.diff(rows.day, prepend=0)
        gaps[rows.starts] = 0
        gaps[rows.day <= self.today - self._horizon_days] = 0  # before it, days are folded together
        return rows.spread(np.maximum.reduceat(gaps, rows.starts) if len(gaps) else gaps)


def _ratio(part: Ints, whole: Ints) -> Column:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _known(days: Ints) -> Column:
    """-1 is not known."""
    return np.where(days >= 0, days, np.nan)
