"""Every customer, or those that a filter leaves, by id: as lines of JSON, or as a flat table."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from tierwise.domain.customer_id import internal_id
from tierwise.security.keys import Reader
from tierwise_profile_api.audit import personal_data_left
from tierwise_profile_api.authenticate import EXPORT, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.exporting import Flat, flat_csv, flat_lines, flat_parquet, views
from tierwise_profile_api.filters import Asked
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.narrowing import narrowed
from tierwise_profile_api.parameters import AsOf, BadParameter, By, known_parameters, past_instant
from tierwise_profile_api.past_export import as_they_stood, customers_of, past_views
from tierwise_profile_api.positions import POSITIONS_HEADER, positions_header

router = APIRouter(prefix="/v1", tags=["export"], dependencies=[Depends(known_parameters)])

_LINES: Final = "application/x-ndjson"
_PARQUET: Final = "application/vnd.apache.parquet"
_FLAT: Final = {
    "csv": (flat_csv, "text/csv; charset=utf-8"),
    "parquet": (flat_parquet, _PARQUET),
    "ndjson": (flat_lines, _LINES),
}
_COUNT: Final = "Tierwise-Customers"
_COUNT_HEADER: Final[dict[str, Any]] = {
    _COUNT: {
        "description": "With `as_of`: how many customers are looked at, of whom those who came later have no line.",
        "schema": {"type": "integer"},
        "example": 1204,
    }
}


@router.get(
    "/export",
    summary="Every customer, by id",
    response_class=StreamingResponse,
    responses=problems(409)
    | {
        200: {
            "description": "One customer a line: current views, or flat rows of what can be asked for. Each is "
            "consistent in itself; a customer who comes while the export runs may be missing. A response cut short is "
            "incomplete: go on with `after` the last customer of a whole line.",
            "headers": POSITIONS_HEADER | _COUNT_HEADER,
            "content": {
                _LINES: {"schema": {"$ref": "#/components/schemas/Customer"}},
                "text/csv": {"schema": {"type": "string"}},
                _PARQUET: {"schema": {"type": "string", "format": "binary"}},
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
        Literal["ndjson", "csv", "parquet"], Query(alias="format", description="Lines of JSON, or flat rows in a file.")
    ] = "ndjson",
    shape: Annotated[
        Literal["view", "flat"],
        Query(description="Of lines of JSON: current views, or the columns of the flat files, ten times as fast."),
    ] = "view",
    after: Annotated[
        str | None,
        Query(max_length=15, description="Go on after this customer's id.", examples=["c_e2rp2eapcnax1"]),
    ] = None,
    labels: Annotated[
        Literal["en", "zh"] | None,
        Query(description="Flat rows in words: values as the rulebook labels them, in a CSV the headings too."),
    ] = None,
    as_of: AsOf = None,
    by: By = "then",
) -> StreamingResponse:
    """Takes no lock and no long transaction, and as much memory however many customers there are. Views have labels in
    the language of Accept-Language. With `as_of` the history of each is folded, one such export at a time; filters then
    choose by what is so now."""
    source = backend_of(request)
    headers = await positions_header(source)  # before anything is read
    rulebook = await source.rulebook_in_force()
    filters = await narrowed(source, asked, rulebook)
    number = -1 if after is None else internal_id(after)
    if number is None:
        raise BadParameter("after", "This is no customer's id; ids are 15 characters and begin with c_.")
    flat = format_ != "ndjson" or shape == "flat"
    if flat and as_of is not None:
        raise BadParameter("as_of", "The past comes as views in lines of JSON alone.")
    if flat:
        chunks, media_type = _FLAT[format_]
        return await _streamed(chunks(source, Flat(filters, rulebook, labels), number), media_type, headers)
    if labels is not None:
        raise BadParameter("labels", "It is for flat rows; views have labels in the language of Accept-Language.")
    language = negotiated(request.headers.get("accept-language"))
    time = None if as_of is None else past_instant("as_of", as_of, datetime.now(UTC))
    await personal_data_left(request, reader, [None])
    if time is None:
        return await _streamed(views(source, reader, filters, number, language=language), _LINES, headers)
    headers[_COUNT] = str(await customers_of(source, filters, number))
    shown = as_they_stood(source, reader, time, current=by == "current", language=language)
    return await _streamed(past_views(source, filters, number, shown), _LINES, headers)


async def _streamed(chunks: AsyncIterator[bytes], media_type: str, headers: dict[str, str]) -> StreamingResponse:
    """The first chunk is made before anything is answered, so that what fails at once is answered as a problem."""
    first = await anext(chunks)

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return StreamingResponse(all_of_them(), media_type=media_type, headers=headers)
