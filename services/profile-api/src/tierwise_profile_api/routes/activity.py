"""Statistics of what happened: activity, orders, hours of the day, and how far customers came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.calendar import date_of, day_number
from tierwise.domain.change import rfc3339
from tierwise.domain.rulebook.book import Rulebook
from tierwise.security.keys import Reader
from tierwise_profile_api import kept_statistics
from tierwise_profile_api import statistics_documents as documents
from tierwise_profile_api.activity import (
    BY_DAY,
    BY_HOUR,
    Days,
    Every,
    activity_by_day,
    by_hour,
    hours_of,
    sales_by_period,
)
from tierwise_profile_api.authenticate import STATISTICS, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.filters import Asked
from tierwise_profile_api.funnel import funnel_steps, way_of
from tierwise_profile_api.narrowing import narrowed
from tierwise_profile_api.parameters import VALUES_MAX, BadParameter, channels, known_parameters
from tierwise_profile_api.reads import Reads, Row

router = APIRouter(prefix="/v1/statistics", tags=["statistics"], dependencies=[Depends(known_parameters)])

_DAYS_MAX: Final = 3_660
_DAYS: Final = 30

StatisticsReader = Annotated[Reader, Depends(holding(STATISTICS))]
From = Annotated[
    str | None,
    Query(alias="from", max_length=10, description="A business day; 30 days up to `to`.", examples=["2026-11-01"]),
]
To = Annotated[
    str | None, Query(max_length=10, description="A business day, included; today.", examples=["2026-11-30"])
]
Channels = Annotated[list[str] | None, Query(alias="channel", description="Only of these.", examples=[["web"]])]

_encode = msgspec.json.Encoder().encode


@router.get(
    "/activity",
    summary="Interactions by day and channel",
    response_model=documents.Activity,
    responses=problems(),
    openapi_extra=documented(STATISTICS),
)
async def activity(
    request: Request, _: StatisticsReader, from_: From = None, to: To = None, channel: Channels = None
) -> Response:
    """Those that count for the classification, by when they happened."""
    asked = await _begun(request, from_, to)
    rows = await asked.rows(BY_DAY, _channels(channel), asked.starts)
    return _answer({**asked.body, "days": activity_by_day(rows, asked.days)})


@router.get(
    "/orders",
    summary="Orders, amounts and refunds by period",
    response_model=documents.Orders,
    responses=problems(),
    openapi_extra=documented(STATISTICS),
)
async def orders(
    request: Request,
    _: StatisticsReader,
    period: Annotated[Every, Query(description="The length of a period.")] = "day",
    from_: From = None,
    to: To = None,
) -> Response:
    """Orders are the interactions of the type purchase. Other currencies are converted at the rates of the days."""
    asked = await _begun(request, from_, to)
    rulebook = asked.rulebook
    rows = [row for row in await asked.rows(BY_DAY, None, asked.starts) if row["sale"]]
    without = {row["currency"] for row in rows} - rulebook.rates.keys() - {""}
    periods = list(sales_by_period(rows, asked.days, period, rulebook))
    return _answer({**asked.body, "currency": rulebook.currency, "periods": periods, "unconverted": sorted(without)})


@router.get(
    "/hours",
    summary="Interactions and orders by the hour of the day",
    response_model=documents.Hours,
    responses=problems(),
    openapi_extra=documented(STATISTICS),
)
async def hours(
    request: Request, _: StatisticsReader, from_: From = None, to: To = None, channel: Channels = None
) -> Response:
    """On the clock of the business time zone."""
    asked = await _begun(request, from_, to)
    rulebook = asked.rulebook
    clock = hours_of(asked.starts, rulebook)
    rows = await asked.rows(BY_HOUR, _channels(channel), asked.starts, clock, rulebook.currency)
    return _answer({**asked.body, "currency": rulebook.currency, "hours": by_hour(rows, asked.days, rulebook)})


@router.get(
    "/funnel",
    summary="How many customers came how far, from prospect to loyal",
    response_model=documents.Funnel,
    responses=documents.aged(),
    openapi_extra=documented(STATISTICS),
)
async def funnel(
    request: Request,
    _: StatisticsReader,
    asked: Annotated[Asked, Depends()],
    step: Annotated[
        list[str] | None,
        Query(max_length=VALUES_MAX, description="These stages, in this order.", examples=[["prospect", "new"]]),
    ] = None,
) -> Response:
    """By what was ever published of a customer's stage; who came to one came to those before it."""
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()
    way = way_of(step or (), rulebook)
    filters = await narrowed(source, asked, rulebook)
    found = await kept_statistics.funnel(source.reads, source.snapshots, rulebook, filters, way)
    steps = funnel_steps(found.value, way, rulebook)
    return _answer({"as_of": rfc3339(found.at), "steps": steps}, found.headers)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The days asked for, with the quarters of hours at which they begin, and what the answer begins with."""

    reads: Reads
    rulebook: Rulebook
    days: Days
    starts: Sequence[int]
    body: dict[str, Any]

    async def rows(self, statement: str, *more: Any) -> list[Row]:
        """Of these days. Raises Unavailable."""
        return await self.reads.rows(statement, self.starts[0], self.starts[-1], *more)


async def _begun(request: Request, from_: str | None, to: str | None) -> _Asked:
    """Raises BadParameter, Unavailable."""
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()
    now = datetime.now(UTC)
    last = _day("to", to) or date_of(rulebook.days.day_of(now))
    try:
        first = _day("from", from_) or last - timedelta(days=_DAYS - 1)
    except OverflowError as error:
        raise BadParameter("to", "There are no days before the year 1.") from error
    if not timedelta(0) <= last - first < timedelta(days=_DAYS_MAX):
        raise BadParameter("from", f"It is not after `to`, and at most {_DAYS_MAX:,} days before.")
    days = Days(day_number(first), day_number(last))
    body = {"as_of": rfc3339(now), "from": str(first), "to": str(last), "timezone": rulebook.days.zone.key}
    return _Asked(source.reads, rulebook, days, days.quarters(rulebook), body)


def _day(field: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise BadParameter(field, "A business day is written 2026-11-20.") from error
    if not _FIRST <= day <= _LAST:
        raise BadParameter(field, f"Days are from {_FIRST} to {_LAST}.")
    return day


_FIRST: Final = date(1970, 1, 1)
_LAST: Final = date(2149, 1, 1)


def _channels(given: list[str] | None) -> list[str] | None:
    return channels(given) if given else None


def _answer(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(body), headers=headers, media_type="application/json")
