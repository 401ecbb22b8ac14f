"""Statistics: how customers are distributed, how they moved, and what each channel brought. Computed when asked."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.security.keys import Reader
from tierwise_profile_api import documents
from tierwise_profile_api.authenticate import STATISTICS, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.channel_table import channel_csv, channel_rows, channel_statement
from tierwise_profile_api.documents import problems
from tierwise_profile_api.filters import Asked, read_filters
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.parameters import BadParameter, instant, known_parameters
from tierwise_profile_api.routes.find import counted

router = APIRouter(prefix="/v1/statistics", tags=["statistics"], dependencies=[Depends(known_parameters)])

_PERIOD_MAX: Final = timedelta(days=3_660)
_PERIOD: Final = timedelta(days=30)

StatisticsReader = Annotated[Reader, Depends(holding(STATISTICS))]
Narrowed = Annotated[Asked, Depends()]
From = Annotated[str | None, Query(alias="from", description="From this time on, RFC 3339; 30 days before `to`.")]
To = Annotated[str | None, Query(description="Before this time, RFC 3339; now.")]

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
    responses=problems(),
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
    filters = read_filters(asked, rulebook, source.vault)
    return Response(_encode(await counted(source, filters, by, rulebook)), media_type="application/json")


@router.get(
    "/moves",
    summary="How many customers moved from which value to which",
    response_model=documents.Moves,
    responses=problems(),
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
    start, end = _period(from_, to)
    rows = await backend_of(request).reads.rows(_MOVES, aspect, start, end)
    items = [{"from": row["from"], "to": row["to"], "customers": row["customers"]} for row in rows]
    body = {"aspect": aspect, "from": rfc3339(start), "to": rfc3339(end), "moves": items}
    return Response(_encode(body), media_type="application/json")


@router.get(
    "/channels",
    summary="The channel table: customers, sales and growth by where customers came from",
    response_model=documents.ChannelTable,
    responses=problems()
    | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The table."}},
    openapi_extra=documented(STATISTICS),
)
async def channel_table(
    request: Request,
    _: StatisticsReader,
    asked: Narrowed,
    touch: Annotated[Literal["first", "last"], Query(description="By the first touch or by the last.")] = "first",
    format_: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    from_: From = None,
    to: To = None,
) -> Response:
    """Orders and amounts are of all time; new customers are those first seen in the period, compared with the period
    of the same length before it. As CSV the headings are in the language of Accept-Language."""
    source = backend_of(request)
    start, end = _period(from_, to)
    rulebook = await source.rulebook_in_force()
    filters = read_filters(asked, rulebook, source.vault)
    as_of = rfc3339(datetime.now(UTC))
    asking = channel_statement(filters, f"{touch}_touch", start, end - start)
    rows = channel_rows(await source.reads.rows(asking.statement, *asking.values), rulebook)
    if format_ == "csv":
        language = negotiated(request.headers.get("accept-language"))
        headers = {"Content-Disposition": 'attachment; filename="channels.csv"', "Vary": "Accept-Language"}
        return Response(channel_csv(rows, rulebook, language), media_type="text/csv; charset=utf-8", headers=headers)
    body: dict[str, Any] = {"as_of": as_of, "from": rfc3339(start), "to": rfc3339(end), "currency": rulebook.currency}
    return Response(_encode({**body, "channels": rows}), media_type="application/json")


def _period(from_: str | None, to: str | None) -> tuple[datetime, datetime]:
    """Raises BadParameter."""
    end = instant("to", to) or datetime.now(UTC)
    start = instant("from", from_)
    try:
        start = start or end - _PERIOD
        if not timedelta(0) < end - start <= _PERIOD_MAX:
            raise BadParameter("from", f"It is before `to`, by at most {_PERIOD_MAX.days:,} days.")
        start - (end - start)  # the period before this one
    except OverflowError as error:
        raise BadParameter("from", "Years before the first one cannot be compared with.") from error
    return start, end
