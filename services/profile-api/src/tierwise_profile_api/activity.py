"""What happened when: interactions, orders and amounts by business day and by hour of the day, added up from the
tables `activity` and `activity_news`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Literal

import numpy as np

from tierwise.domain.calendar import QUARTER_S, date_of
from tierwise.domain.money import decimal_string
from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api.reads import Row

Every = Literal["day", "week", "month", "quarter", "year"]

_BOTH: Final = """
    SELECT quarter, channel, sale, currency, count, amount FROM activity
    WHERE quarter >= $1 AND quarter < $2 AND ($3::text[] IS NULL OR channel = ANY ($3))
    UNION ALL
    SELECT quarter, channel, sale, currency, count, amount FROM activity_news
    WHERE quarter >= $1 AND quarter < $2 AND ($3::text[] IS NULL OR channel = ANY ($3))"""

# $1 from this quarter of an hour on, $2 before this one, $3 channels (null: any), $4 the quarters at which days begin.
BY_DAY: Final = f"""
    SELECT width_bucket(quarter, $4::int[]) - 1 AS place, channel, sale, currency, sum(count)::bigint AS count,
           sum(amount)::bigint AS amount
    FROM ({_BOTH}) AS counted GROUP BY 1, 2, 3, 4"""

# $1 to $4 as above, $5 the hour on the clock of each quarter from $1 on, $6 the base currency. `place`, the day, where
# it decides on the rate.
BY_HOUR: Final = f"""
    SELECT ($5::smallint[])[quarter - $1 + 1] AS hour, sale, currency,
           CASE WHEN currency NOT IN ('', $6) THEN width_bucket(quarter, $4::int[]) - 1 END AS place,
           sum(count)::bigint AS count, sum(amount)::bigint AS amount
    FROM ({_BOTH}) AS counted GROUP BY 1, 2, 3, 4"""


@dataclass(frozen=True, slots=True)
class Days:
    """Business days, the last one included, by number."""

    first: int
    last: int

    def quarters(self, rulebook: Rulebook) -> list[int]:
        """Those at which each day begins, and the one at which the last ends."""
        days = range(self.first, self.last + 2)
        return [int(rulebook.days.midnight(day).timestamp()) // QUARTER_S for day in days]


@dataclass(slots=True)
class Sales:
    """`amount`, `refunded`: minor units of the base currency. `unconverted`: currencies without a rate, left out."""

    orders: int = 0
    amount: int = 0
    refunds: int = 0
    refunded: int = 0
    unconverted: set[str] = field(default_factory=set)

    def add(self, row: Row, day: int, rulebook: Rulebook) -> None:
        """`row`: of a purchase or refund; anything else adds nothing."""
        units = in_base_currency(row["amount"], row["currency"], day, rulebook)
        if units is None:
            self.unconverted.add(row["currency"])
        if row["sale"] == "purchase":
            self.orders += row["count"]
            self.amount += units or 0
        elif row["sale"] == "refund":
            self.refunds += row["count"]
            self.refunded += units or 0

    def shown(self) -> dict[str, Any]:
        """`average`: of an order; None where there is none."""
        return {
            "orders": self.orders,
            "amount": decimal_string(self.amount),
            "average": decimal_string(round(self.amount / self.orders)) if self.orders else None,
            "refunds": self.refunds,
            "refunded": decimal_string(self.refunded),
        }


def in_base_currency(units: int, currency: str | None, day: int, rulebook: Rulebook) -> int | None:
    """Ten-thousandths of a currency (None, empty: the base currency) as minor units, at the rate of a business day.
    None: there is no rate."""
    rates = rulebook.rates.get(currency or rulebook.currency)
    if rates is None:
        return None if units else 0
    return int((Decimal(units) / 100 * rates.on(day)).quantize(Decimal(1), ROUND_HALF_EVEN))


def activity_by_day(rows: Iterable[Row], days: Days) -> list[dict[str, Any]]:
    """`rows`: of BY_DAY."""
    found: list[Counter[str]] = [Counter() for _ in range(days.first, days.last + 1)]
    for row in rows:
        found[row["place"]][row["channel"]] += row["count"]
    return [
        {
            "day": str(date_of(days.first + place)),
            "interactions": channels.total(),
            "channels": {name: count for name, count in channels.most_common() if count},
        }
        for place, channels in enumerate(found)
    ]


def sales_by_period(rows: Iterable[Row], days: Days, every: Every, rulebook: Rulebook) -> Iterator[dict[str, Any]]:
    """`rows`: of BY_DAY. Periods of nothing too."""
    by_period: defaultdict[str, Sales] = defaultdict(Sales)
    bounds: dict[str, list[date]] = {}
    for number in range(days.first, days.last + 1):
        day = date_of(number)
        bounds.setdefault(named(day, every), [day, day])[1] = day
    for row in rows:
        number = days.first + row["place"]
        by_period[named(date_of(number), every)].add(row, number, rulebook)
    for period, (first, last) in bounds.items():
        yield {"period": period, "from": str(first), "to": str(last), **by_period[period].shown()}


def named(day: date, every: Every) -> str:
    """The period that a day is in: 2026-11-22, 2026-W47, 2026-11, 2026-Q4, 2026."""
    if every == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    if every == "quarter":
        return f"{day.year}-Q{(day.month + 2) // 3}"
    return str(day)[: {"day": 10, "month": 7, "year": 4}[every]]


def began(day: date, every: Every) -> date:
    """The first day of the period that a day is in."""
    if every == "day":
        return day
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1, month={"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[every])


def hours_of(starts: Sequence[int], rulebook: Rulebook) -> list[int]:
    """The hour on the clock of the business time zone, of each quarter of an hour from the first of `starts` to before
    the last one."""
    hours: list[int] = rulebook.days.hours(np.arange(starts[0], starts[-1]) * QUARTER_S).tolist()
    return hours


def by_hour(rows: Sequence[Row], days: Days, rulebook: Rulebook) -> list[dict[str, Any]]:
    """`rows`: of BY_HOUR."""
    interactions, sales = [0] * 24, [Sales() for _ in range(24)]
    for row in rows:
        interactions[row["hour"]] += row["count"]
        sales[row["hour"]].add(row, days.first + (row["place"] or 0), rulebook)
    return [{"hour": hour, "interactions": interactions[hour], **sales[hour].shown()} for hour in range(24)]
