"""Statistics: how customers are distributed, how they moved, and what each channel brought."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.rulebook.book import Rulebook
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, kept_statistics
from tierwise_profile_api.authenticate import STATISTICS, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.channel_files import channel_csv, channel_xlsx
from tierwise_profile_api.filters import Asked
from tierwise_profile_api.kept_statistics import CalendarPeriod, TableAsked
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.narrowing import narrowed
from tierwise_profile_api.parameters import known_parameters
from tierwise_profile_api.periods import period_of
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.find import counted
from tierwise_profile_api.snapshots import Snapshot
from tierwise_profile_api.statistics_documents import aged

router = APIRouter(prefix="/v1/statistics", tags=["statistics"], dependencies=[Depends(known_parameters)])

StatisticsReader = Annotated[Reader, Depends(holding(STATISTICS))]
Narrowed = Annotated[Asked, Depends()]
From = Annotated[str | None, Query(alias="from", description="From this time on, RFC 3339; 30 days before `to`.")]
To = Annotated[str | None, Query(description="Before this time, RFC 3339; now.")]

_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BYTES: Final = {"type": "string", "format": "binary"}

_encode = msgspec.json.Encoder().encode

# $1 aspect, $2 and $3 recorded in this period. By customer the value before the first change and after the last one.
_MOVES: Final = """
SELECT before AS "from", after AS "to", count(*) AS customers
FROM (
    SELECT (array_agg("from" ORDER BY sequence))[1] AS before, (array_agg("to" ORDER BY sequence DESC))[1] AS after
    FROM changes WHERE aspect = $1 AND recorded_at >= $2 AND recorded_at < $3
    GROUP BY customer_id
) moved
GROUP BY 1, 2 ORDER BY 1, 2
"""


@router.get(
    "/distribution",
    summary="How many customers have each value",
    response_model=documents.Count,
    responses=aged(),
    openapi_extra=documented(STATISTICS),
)
async def distribution(
    request: Request,
    _: StatisticsReader,
    asked: Narrowed,
    by: Annotated[str, Query(max_length=130, description="tier, region, ..., tag:NAME.", examples=["age_group"])],
) -> Response:
    """Of those who are not known to have any value, `value` is null."""
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()
    filters = await narrowed(source, asked, rulebook)
    made = await _kept(request, rulebook, lambda: counted(source, filters, by, rulebook))
    return _answer(made.value, made.headers)


@router.get(
    "/moves",
    summary="How many customers moved from which value to which",
    response_model=documents.Moves,
    responses=aged(),
    openapi_extra=documented(STATISTICS),
)
async def moves(
    request: Request,
    _: StatisticsReader,
    aspect: Literal["tier", "intent", "lifecycle"] = "tier",
    from_: From = None,
    to: To = None,
) -> Response:
    """Over the whole period: who went from C to B and back to C moved from C to C. `from` is null for who came."""
    period_of(from_, to)
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()

    async def moved() -> tuple[datetime, datetime, list[Row]]:
        start, end = period_of(from_, to)
        return start, end, await source.reads.rows(_MOVES, aspect, start, end)

    made = await _kept(request, rulebook, moved)
    start, end, rows = made.value
    items = [{"from": row["from"], "to": row["to"], "customers": row["customers"]} for row in rows]
    body = {"as_of": rfc3339(made.at), "aspect": aspect, "from": rfc3339(start), "to": rfc3339(end), "moves": items}
    return _answer(body, made.headers)


@router.get(
    "/channels",
    summary="The channel table: customers, sales and growth by where customers came from",
    response_model=documents.ChannelTable,
    responses=aged("The table.", **{"text/csv": {"schema": {"type": "string"}}, _XLSX: {"schema": _BYTES}}),
    openapi_extra=documented(STATISTICS),
)
async def channel_table(
    request: Request,
    _: StatisticsReader,
    asked: Narrowed,
    touch: Annotated[Literal["first", "last"], Query(description="By the first touch or by the last.")] = "first",
    format_: Annotated[Literal["json", "csv", "xlsx"], Query(alias="format")] = "json",
    period: Annotated[
        CalendarPeriod | None,
        Query(description="The one that `to` lies in, up to `to`, compared with as much of the one before."),
    ] = None,
    from_: From = None,
    to: To = None,
) -> Response:
    """Customers, orders and amounts are of all time. Sales, new customers and what they grew by are of the period: that
    from `from` to `to` against the one of the same length before it, or one by the calendar. Files are headed in the
    language of Accept-Language."""
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()
    filters = await narrowed(source, asked, rulebook)
    table = TableAsked(touch, period, from_, to)
    made = await kept_statistics.channel_table(source.reads, source.snapshots, rulebook, filters, table)
    compared, rows = made.value
    if format_ == "json":
        body: dict[str, Any] = {
            "as_of": rfc3339(made.at),
            "from": rfc3339(compared.start),
            "to": rfc3339(compared.end),
            "before": {"from": rfc3339(compared.before), "to": rfc3339(compared.before_end)},
            "currency": rulebook.currency,
        }
        return _answer({**body, "channels": rows}, made.headers)
    language = negotiated(request.headers.get("accept-language"))
    file, media_type = (channel_csv, "text/csv; charset=utf-8") if format_ == "csv" else (channel_xlsx, _XLSX)
    headers = {
        "Content-Disposition": f'attachment; filename="channels.{format_}"',
        "Vary": "Accept-Language",
        **made.headers,
    }
    return Response(file(rows, rulebook, language), headers=headers, media_type=media_type)


async def _kept(request: Request, rulebook: Rulebook, make: Callable[[], Awaitable[Any]]) -> Snapshot:
    """What the same request was answered with, or is now."""
    return await backend_of(request).snapshots.get((request.url.path, request.url.query, rulebook), make)


def _answer(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(body), headers=headers, media_type="application/json")
