"""The channel table (客户管理渠道归类表): of each source of customers how many, what they bought, how they grow."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tierwise.domain.money import decimal_string
from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.reads import Row

_HEADINGS: Final = {
    "channel": {"en": "Channel", "zh": "渠道"},
    "customers": {"en": "Customers", "zh": "客户数"},
    "buyers": {"en": "Customers who bought", "zh": "成交客户数"},
    "conversion": {"en": "Conversion", "zh": "转化率"},
    "orders": {"en": "Orders", "zh": "订单数"},
    "amount": {"en": "Sales amount", "zh": "销售额"},
    "new": {"en": "New customers", "zh": "新增客户数"},
    "new_before": {"en": "New customers, period before", "zh": "上期新增客户数"},
    "growth": {"en": "Growth", "zh": "增长率"},
}
_UNKNOWN: Final = {"en": "Not known", "zh": "未知"}


def channel_statement(filters: Filters, touch: str, start: datetime, length: timedelta) -> Page:
    """Rows by channel and tier. New are those first seen in the `length` from `start` on; before, in the one before it.
    `touch`: the column, first_touch or last_touch."""
    number = len(filters.values)
    before, since, until = (f"${number + place}::timestamptz" for place in (1, 2, 3))
    return Page(
        f"""SELECT f.{touch} AS channel, f.tier, count(*) AS customers, count(*) FILTER (WHERE f.orders > 0) AS buyers,
                   sum(f.orders) AS orders, sum(f.amount) AS amount,
                   count(*) FILTER (WHERE f.first_seen >= {since} AND f.first_seen < {until}) AS new,
                   count(*) FILTER (WHERE f.first_seen >= {before} AND f.first_seen < {since}) AS new_before
            FROM customer_facets f WHERE {filters.sql} GROUP BY 1, 2""",
        [*filters.values, start - length, start, start + length],
    )


def channel_rows(found: Sequence[Row], rulebook: Rulebook) -> list[dict[str, Any]]:
    """One a channel, the one with most customers first; `tiers`: the share of each tier. `conversion`: of customers,
    who bought; `growth`: None where nobody was new before."""
    by_channel: dict[str | None, list[Row]] = {}
    for row in found:
        by_channel.setdefault(row["channel"], []).append(row)
    rows = [_row(channel, parts, rulebook) for channel, parts in by_channel.items()]
    return sorted(rows, key=lambda row: (-row["customers"], row["channel"] or ""))


def _row(channel: str | None, parts: list[Row], rulebook: Rulebook) -> dict[str, Any]:
    names = ("customers", "buyers", "orders", "amount", "new", "new_before")
    customers, buyers, orders, amount, new, before = (sum(int(part[name]) for part in parts) for name in names)
    of_tier = {part["tier"]: part["customers"] for part in parts}
    return {
        "channel": channel,
        "label": _UNKNOWN if channel is None else rulebook.label(channel),
        "customers": customers,
        "buyers": buyers,
        "conversion": round(buyers / customers, 4),
        "orders": orders,
        "amount": decimal_string(amount),
        "new": new,
        "new_before": before,
        "growth": round(new / before - 1, 4) if before else None,
        "tiers": {tier: round(of_tier.get(tier, 0) / customers, 4) for tier in rulebook.tier_names},
    }


def channel_csv(rows: Sequence[dict[str, Any]], rulebook: Rulebook, language: str) -> bytes:
    """UTF-8 with a byte order mark, without which Excel takes Chinese for something else."""
    text = io.StringIO()
    writer = csv.writer(text)
    tiers = rulebook.tier_names
    writer.writerow([*(heading[language] for heading in _HEADINGS.values()), *tiers])
    for row in rows:
        values = [row[name] for name in _HEADINGS if name != "channel"]
        writer.writerow([row["label"][language], *values, *(row["tiers"][tier] for tier in tiers)])
    return text.getvalue().encode("utf-8-sig")
