"""The channel table (客户管理渠道归类表): of each source of customers how many, what they bought, how they grow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tierwise.domain.calendar import day_number
from tierwise.domain.money import decimal_string
from tierwise.domain.rulebook.book import Rulebook
from tierwise.finding.conditions import Bound
from tierwise_profile_api.activity import in_base_currency
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.periods import Compared
from tierwise_profile_api.reads import Row

UNKNOWN: Final = {"en": "Not known", "zh": "未知"}


def channel_statement(filters: Filters, touch: str, compared: Compared) -> Page:
    """Rows by channel and tier. New are those first seen in the period. `touch`: the column, first_touch or
    last_touch."""
    bound = Bound(filters.values)
    new, new_before = _within("f.first_seen", compared, bound)
    return Page(
        f"""SELECT channel.value AS channel, tier.value AS tier, customers, buyers, orders, amount, new, new_before
            FROM (SELECT f.{touch}, f.tier, count(*) AS customers, count(*) FILTER (WHERE f.orders > 0) AS buyers,
                         sum(f.orders) AS orders, sum(f.amount) AS amount, count(*) FILTER (WHERE {new}) AS new,
                         count(*) FILTER (WHERE {new_before}) AS new_before
                  FROM customer_facets f WHERE {filters.sql} GROUP BY 1, 2) counted
                 JOIN facet_values tier ON (tier.facet, tier.number) = ('tier', counted.tier)
                 LEFT JOIN facet_values channel ON (channel.facet, channel.number) = ('{touch}', counted.{touch})""",
        bound.values,
    )


def sales_statement(filters: Filters, touch: str, compared: Compared, rulebook: Rulebook) -> Page:
    """Rows of orders in either period, by channel, period and currency; in other currencies than the base also by day.
    What those bought who were merged counts for whom they were merged into."""
    bound = Bound(filters.values)
    base, zone = bound(rulebook.currency, "text"), bound(rulebook.days.zone.key, "text")
    now, before = _within("i.time", compared, bound)
    either = f"i.time >= {bound(compared.before, 'timestamptz')} AND i.time < {bound(compared.end, 'timestamptz')}"
    foreign_day = f"CASE WHEN i.currency <> {base} THEN (i.time AT TIME ZONE {zone})::date END"
    return Page(
        f"""WITH merged AS (SELECT id, merged_into FROM customers WHERE merged_into IS NOT NULL)
            SELECT channel.value AS channel, now, currency, day, orders, sold.amount
            FROM (SELECT f.{touch} AS number, {now} AS now, i.currency, {foreign_day} AS day, count(*) AS orders,
                         sum(i.amount)::bigint AS amount
                  FROM interactions i LEFT JOIN merged ON merged.id = i.customer_id
                       JOIN customer_facets f ON f.customer_id = coalesce(merged.merged_into, i.customer_id)
                  WHERE i.amount IS NOT NULL AND i.type = 'purchase' AND {either} AND ({now} OR {before})
                        AND {filters.sql}
                  GROUP BY 1, 2, 3, 4) sold
                 LEFT JOIN facet_values channel ON (channel.facet, channel.number) = ('{touch}', sold.number)""",
        bound.values,
    )


def _within(column: str, compared: Compared, bound: Bound) -> tuple[str, str]:
    """Whether it is in the period, and whether it is in the one before."""
    before, before_end, start, end = (
        bound(moment, "timestamptz") for moment in (compared.before, compared.before_end, compared.start, compared.end)
    )
    return f"({column} >= {start} AND {column} < {end})", f"({column} >= {before} AND {column} < {before_end})"


@dataclass(slots=True)
class _Channel:
    parts: list[Row] = field(default_factory=list)
    orders: list[int] = field(default_factory=lambda: [0, 0])
    amount: list[int] = field(default_factory=lambda: [0, 0])


def channel_rows(found: Sequence[Row], sold: Sequence[Row], rulebook: Rulebook) -> list[dict[str, Any]]:
    """One a channel, the one with most customers first; `tiers`: the share of each tier. `conversion`: of customers,
    who bought; growth: None where there was nothing before."""
    channels: dict[str | None, _Channel] = {}
    for row in found:
        channels.setdefault(row["channel"], _Channel()).parts.append(row)
    for row in sold:
        if (channel := channels.get(row["channel"])) is not None:
            day = 0 if row["day"] is None else day_number(row["day"])
            channel.orders[row["now"]] += row["orders"]
            channel.amount[row["now"]] += in_base_currency(row["amount"], row["currency"], day, rulebook) or 0
    rows = [_row(name, channel, rulebook) for name, channel in channels.items()]
    return sorted(rows, key=lambda row: (-row["customers"], row["channel"] or ""))


def _row(name: str | None, channel: _Channel, rulebook: Rulebook) -> dict[str, Any]:
    names = ("customers", "buyers", "orders", "amount", "new", "new_before")
    customers, buyers, orders, amount, new, before = (sum(int(part[one]) for part in channel.parts) for one in names)
    of_tier = {part["tier"]: part["customers"] for part in channel.parts}
    return {
        "channel": name,
        "label": UNKNOWN if name is None else rulebook.label(name),
        "customers": customers,
        "buyers": buyers,
        "conversion": round(buyers / customers, 4),
        "orders": orders,
        "amount": decimal_string(amount),
        "orders_in_period": channel.orders[1],
        "sales": decimal_string(channel.amount[1]),
        "sales_before": decimal_string(channel.amount[0]),
        "sales_growth": _growth(channel.amount[1], channel.amount[0]),
        "new": new,
        "new_before": before,
        "growth": _growth(new, before),
        "tiers": {tier: round(of_tier.get(tier, 0) / customers, 4) for tier in rulebook.tier_names},
    }


def _growth(now: int, before: int) -> float | None:
    return round(now / before - 1, 4) if before else None
