"""Finding customers: as a list, and how many there are."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.rulebook.book import Rulebook
from tierwise.security.keys import Reader
from tierwise_profile_api import documents
from tierwise_profile_api.audit import personal_data_left
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.documents import problems
from tierwise_profile_api.fields import picked, read_fields
from tierwise_profile_api.filters import Asked, Filters
from tierwise_profile_api.finding import Sort, counting, listed
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.narrowing import narrowed
from tierwise_profile_api.parameters import Cursor, FieldNames, Limit, known_parameters
from tierwise_profile_api.view import view

router = APIRouter(prefix="/v1", tags=["customers"], dependencies=[Depends(known_parameters)])

ProfileReader = Annotated[Reader, Depends(holding(PROFILES))]
Narrowed = Annotated[Asked, Depends()]
By = Annotated[
    str | None,
    Query(max_length=130, description="Also by the values of this: tier, region, ..., tag:NAME.", examples=["tier"]),
]

_encode = msgspec.json.Encoder().encode


@router.get(
    "/customers",
    summary="Customers, narrowed and sorted",
    response_model=documents.Customers,
    responses=problems(),
    openapi_extra=documented(PROFILES),
)
async def find_customers(
    request: Request,
    reader: ProfileReader,
    asked: Narrowed,
    sort: Sort = "customer_id",
    fields: FieldNames = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Different filters all hold; several values of one mean any of them. Labels are in the language of
    Accept-Language."""
    source = backend_of(request)
    chosen = read_fields(fields)
    filters = await narrowed(source, asked, await source.rulebook_in_force())
    of = listing("customers", filters.sql, [str(value) for value in filters.values], sort)
    after = None if cursor is None else open_cursor(cursor, tuple[Any, int], source.vault, of=of)
    rows = await listed(source.reads, filters, sort, after, limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    language = negotiated(request.headers.get("accept-language"))
    body = {
        "items": [picked(await view(row, source, reader, language=language), chosen) for row in shown],
        "next_cursor": seal_cursor((shown[-1]["place"], shown[-1]["id"]), source.vault, of=of) if more else None,
    }
    await personal_data_left(request, reader, [row["id"] for row in shown])
    return Response(_encode(body), media_type="application/json")


@router.get(
    "/customers/count",
    summary="How many customers, also by the values of a facet",
    response_model=documents.Count,
    responses=problems(),
    openapi_extra=documented(PROFILES),
)
async def count_customers(request: Request, _: ProfileReader, asked: Narrowed, by: By = None) -> Response:
    """Without `by` there are no `values`. The value null: not known. A customer may have several interests."""
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()
    filters = await narrowed(source, asked, rulebook)
    return Response(_encode(await counted(source, filters, by, rulebook)), media_type="application/json")


async def counted(source: Backend, filters: Filters, by: str | None, rulebook: Rulebook) -> dict[str, Any]:
    """How many there are at this moment; with `by` also of each value, the most frequent first."""
    as_of = rfc3339(datetime.now(UTC))
    total = counting(filters, None, rulebook)
    if by is None:
        [[_, customers]] = await source.reads.rows(total.statement, *total.values)
        return {"count": customers, "as_of": as_of}
    grouped = counting(filters, by, rulebook)
    rows = await source.reads.rows(grouped.statement, *grouped.values)
    customers = sum(row["customers"] for row in rows)
    if by == "interest":  # of whom some are in several rows
        [[_, customers]] = await source.reads.rows(total.statement, *total.values)
    values = [{"value": row["value"], "count": row["customers"]} for row in rows]
    return {"count": customers, "as_of": as_of, "by": by, "values": values}
