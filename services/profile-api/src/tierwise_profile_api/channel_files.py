"""The channel table as a file for spreadsheets, headed in a reader's language."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import xlsxwriter

from tierwise.domain.rulebook.book import Rulebook

_HEADINGS: Final = {
    "channel": {"en": "Channel", "zh": "渠道"},
    "customers": {"en": "Customers", "zh": "客户数"},
    "buyers": {"en": "Customers who bought", "zh": "成交客户数"},
    "conversion": {"en": "Conversion", "zh": "转化率"},
    "orders": {"en": "Orders", "zh": "订单数"},
    "amount": {"en": "Sales amount", "zh": "销售额"},
    "orders_in_period": {"en": "Orders in the period", "zh": "本期订单数"},
    "sales": {"en": "Sales in the period", "zh": "本期销售额"},
    "sales_before": {"en": "Sales, period before", "zh": "上期销售额"},
    "sales_growth": {"en": "Growth of sales", "zh": "销售额增长率"},
    "new": {"en": "New customers", "zh": "新增客户数"},
    "new_before": {"en": "New customers, period before", "zh": "上期新增客户数"},
    "growth": {"en": "Growth of new customers", "zh": "新增客户增长率"},
}
_SHARE: Final = {"en": "{tier}, share", "zh": "{tier} 级占比"}
_TITLE: Final = {"en": "Channels", "zh": "客户管理渠道归类表"}

_AMOUNTS: Final = ("amount", "sales", "sales_before")
_SHARES: Final = ("conversion", "sales_growth", "growth")


def channel_csv(rows: Sequence[dict[str, Any]], rulebook: Rulebook, language: str) -> bytes:
    """UTF-8 with a byte order mark, without which Excel takes Chinese for something else."""
    text = io.StringIO()
    csv.writer(text).writerows([_headings(rulebook, language), *(_values(row, language) for row in rows)])
    return text.getvalue().encode("utf-8-sig")


def channel_xlsx(rows: Sequence[dict[str, Any]], rulebook: Rulebook, language: str) -> bytes:
    """Office Open XML (ISO/IEC 29500), numbers as numbers: one sheet, its headings stay in sight."""
    file = io.BytesIO()
    # What looks like a formula or an address is a channel's name.
    plain = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, plain) as book:
        heading = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        amount, share = book.add_format({"num_format": "#,##0.00"}), book.add_format({"num_format": "0.0%"})
        sheet = book.add_worksheet(_TITLE[language])
        sheet.freeze_panes(1, 1)
        sheet.set_column(0, 0, 20)
        sheet.set_column(1, len(_HEADINGS) - 1 + len(rulebook.tier_names), 12)
        sheet.write_row(0, 0, _headings(rulebook, language), heading)
        formats = [amount if name in _AMOUNTS else share if name in _SHARES else None for name in _HEADINGS]
        formats += [share] * len(rulebook.tier_names)
        for place, row in enumerate(rows, start=1):
            for column, (value, form) in enumerate(zip(_values(row, language), formats, strict=True)):
                sheet.write(place, column, float(value) if form is amount else value, form)
    return file.getvalue()


def _headings(rulebook: Rulebook, language: str) -> list[str]:
    tiers = [_SHARE[language].format(tier=tier) for tier in rulebook.tier_names]
    return [*(heading[language] for heading in _HEADINGS.values()), *tiers]


def _values(row: dict[str, Any], language: str) -> list[Any]:
    return [row["label"][language], *(row[name] for name in _HEADINGS if name != "channel"), *row["tiers"].values()]
