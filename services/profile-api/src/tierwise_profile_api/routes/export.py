"""Every customer, or those that a filter leaves, by id: as lines of JSON, or as a flat table."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from tierwise.domain.customer_id import internal_id
from tierwise.security.keys import Reader
from tierwise_profile_api import queries
from tierwise_profile_api.audit import personal_data_left
from tierwise_profile_api.authenticate import EXPORT, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.facet_names import FacetNames
from tierwise_profile_api.filters import Asked, Filters, read_filters
from tierwise_profile_api.finding import Page, page
from tierwise_profile_api.flat import as_csv, flat_page, named
from tierwise_profile_api.parameters import BadParameter, known_parameters
from tierwise_profile_api.positions import POSITIONS_HEADER, positions_header
from tierwise_profile_api.reads import Row
from tierwise_profile_api.view import view

router = APIRouter(prefix="/v1", tags=["export"], dependencies=[Depends(known_parameters)])

PAGE: Final = 50
"""Customers in one read. A view takes 0.2 ms of the processor: a page holds other requests up for 10 ms."""

FLAT_PAGE: Final = 1_000
"""Likewise, of rows that take 0.01 ms."""

_encoder = msgspec.json.Encoder()


@router.get(
    "/export",
    summary="Every customer, by id",
    response_class=StreamingResponse,
    responses=problems()
    | {
        200: {
            "description": "One customer a line: current views, or flat rows of what can be asked for. Each is "
            "consistent in itself; a customer who comes while the export runs may be missing. A response cut short is "
            "incomplete: go on with `after` the last customer of a whole line.",
            "headers": POSITIONS_HEADER,
            "content": {
                "application/x-ndjson": {"schema": {"$ref": "#/components/schemas/Customer"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
    openapi_extra=documented(EXPORT),
)
async def export_customers(
    request: Request,
    reader: Annotated[Reader, Depends(holding(EXPORT))],
    asked: Annotated[Asked, Depends()],
    format_: Annotated[
        Literal["ndjson", "csv"], Query(alias="format", description="Current views as lines of JSON, or flat rows.")
    ] = "ndjson",
    after: Annotated[
        str | None,
        Query(max_length=15, description="Go on after this customer's id.", examples=["c_e2rp2eapcnax1"]),
    ] = None,
) -> StreamingResponse:
    """Takes no lock and no long transaction, and as much memory however many customers there are."""
    source = backend_of(request)
    headers = await positions_header(source)  # before anything is read
    filters = read_filters(asked, await source.rulebook_in_force(), source.vault)
    number = -1 if after is None else internal_id(after)
    if number is None:
        raise BadParameter("after", "This is no customer's id; ids are 15 characters and begin with c_.")
    if format_ == "csv":
        flat = _pages(source, lambda last: flat_page(filters, last, FLAT_PAGE), "customer_id", number, FLAT_PAGE)
        return StreamingResponse(
            await _begun(_table(flat, FacetNames(source.reads))), media_type="text/csv; charset=utf-8", headers=headers
        )
    await personal_data_left(request, reader, [None])
    pages = _pages(source, lambda last: _views_page(filters, last), "id", number, PAGE)
    lines = _lines(pages, source, reader)
    return StreamingResponse(await _begun(lines), media_type="application/x-ndjson", headers=headers)


def _views_page(filters: Filters, last: int) -> Page:
    if filters.sql == "true":  # everyone: one table less to read
        return Page(queries.CUSTOMERS, [last, PAGE])
    return page(filters, "customer_id", (last, last), PAGE)


Pages = AsyncIterator[Sequence[Row]]


async def _pages(source: Backend, asking: Callable[[int], Page], column: str, last: int, size: int) -> Pages:
    """Raises Unavailable in the middle when the database stays away: then the connection is cut."""
    while True:
        wanted = asking(last)
        rows = await source.reads.rows(wanted.statement, *wanted.values)
        yield rows
        if len(rows) < size:
            return
        last = rows[-1][column]


async def _lines(pages: Pages, source: Backend, reader: Reader) -> AsyncIterator[bytes]:
    async for rows in pages:
        yield _encoder.encode_lines([await view(row, source, reader) for row in rows])


async def _table(pages: Pages, names: FacetNames) -> AsyncIterator[bytes]:
    heading = True
    async for rows in pages:
        yield as_csv(await named(rows, names), heading=heading)
        heading = False


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, the first of them made already, so that what fails at once is answered as a problem."""
    first = await anext(chunks)

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()
