"""The current view: by id, by identifier, and as a list."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from tierwise.domain.customer_id import internal_id, public_id
from tierwise.domain.identifier import InvalidIdentifier, normalise
from tierwise.domain.source import BACKEND
from tierwise.problem import NotFound
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, queries
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.conditional import entity_tag, matches
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.documents import problems
from tierwise_profile_api.filters import Filters, read_filters
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.parameters import BadParameter, Cursor, Limit, known_parameters
from tierwise_profile_api.reads import Row
from tierwise_profile_api.view import view

router = APIRouter(prefix="/v1", tags=["customers"], dependencies=[Depends(known_parameters)])

ProfileReader = Annotated[Reader, Depends(holding(PROFILES))]
CustomerId = Annotated[str, Path(description="The customer's id.", examples=["c_8f2kq1z7m4x0t"])]
Several = Annotated[list[str] | None, Query()]

_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Language"}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the ETag given."}}

_encode = msgspec.json.Encoder().encode


class UnknownCustomer(NotFound):
    code, title = "unknown_customer", "There is no such customer"


def customer_number(customer_id: str) -> int:
    """The number behind an id in a path. Raises UnknownCustomer."""
    if (number := internal_id(customer_id)) is None:
        raise UnknownCustomer("This is no customer's id; ids are 15 characters and begin with c_.")
    return number


@router.get(
    "/customers",
    summary="Customers, by id",
    response_model=documents.Customers,
    responses=problems(),
    openapi_extra=documented(PROFILES),
)
async def find_customers(
    request: Request,
    reader: ProfileReader,
    tier: Annotated[Several, Query(description="Any of these tiers.", examples=[["A"]])] = None,
    intent: Annotated[Several, Query(description="Any of these intent levels.", examples=[["high"]])] = None,
    stage: Annotated[Several, Query(description="Any of these stages.", examples=[["active"]])] = None,
    tag: Annotated[
        Several,
        Query(description="NAME:VALUE; several of one name: any of them.", examples=[["browsing:high"]]),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Different filters all hold; several values of one mean any of them."""
    source = backend_of(request)
    filters = read_filters(await source.rulebook_in_force(), tier=tier, intent=intent, stage=stage, tag=tag)
    of = listing("customers", filters.tiers, filters.intents, filters.stages, filters.tags)
    after = open_cursor(cursor, tuple[int], source.vault, of=of)[0] if cursor is not None else -1
    rows = await _page(source, filters, after=after, limit=limit + 1)
    more = len(rows) > limit
    body = {
        "items": [await view(row, source, reader) for row in rows[:limit]],
        "next_cursor": seal_cursor((rows[limit - 1]["id"],), source.vault, of=of) if more else None,
    }
    return Response(_encode(body), media_type="application/json")


@router.get(
    "/customers/{customer_id}",
    summary="The current view",
    response_model=documents.Customer,
    responses=problems(404) | _NOT_MODIFIED,
    openapi_extra=documented(PROFILES),
)
async def read_customer(request: Request, reader: ProfileReader, customer_id: CustomerId) -> Response:
    """An id that was merged answers with the winner's view, which then names the id asked for."""
    number = customer_number(customer_id)
    source = backend_of(request)
    row = await source.reads.row(queries.CUSTOMER, number)
    if row is None:
        raise UnknownCustomer("No customer has this id.")
    merged = row["id"] != number
    return await _answer(request, row, source, reader, requested_id=customer_id if merged else None)


@router.get(
    "/customers/by/{kind}/{value:path}",
    summary="The current view, by identifier",
    response_model=documents.Customer,
    responses=problems(404) | _NOT_MODIFIED,
    openapi_extra=documented(PROFILES),
)
async def read_customer_by_identifier(
    request: Request,
    reader: ProfileReader,
    kind: Annotated[str, Path(examples=["email"])],
    value: Annotated[str, Path(description="Normalised as at ingest.", examples=["li@example.com"])],
) -> Response:
    source = backend_of(request)
    try:
        normalised = normalise(kind, value, default_region=BACKEND.default_region)
    except InvalidIdentifier as error:
        raise BadParameter("value", f"This is no {kind}: {error}.") from error
    row = await source.reads.row(queries.CUSTOMER_BY_IDENTIFIER, source.vault.identifier_hash(kind, normalised))
    if row is None:
        raise UnknownCustomer("No customer has this identifier.")
    return await _answer(request, row, source, reader)


async def _page(source: Backend, filters: Filters, *, after: int, limit: int) -> Sequence[Row]:
    if not filters:
        return await source.reads.rows(queries.CUSTOMERS, after, limit)
    conditions, values = filters.conditions(first=3)
    return await source.reads.rows(queries.customers_filtered(conditions), after, limit, *values)


async def _answer(
    request: Request, row: Row, source: Backend, reader: Reader, *, requested_id: str | None = None
) -> Response:
    tag = entity_tag(row, reader, negotiated(request.headers.get("accept-language")))
    headers = {"ETag": tag, **_CACHING}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    body = await view(row, source, reader)
    if requested_id is not None:
        body |= {"requested_id": requested_id, "merged_into": public_id(row["id"])}
    return Response(_encode(body), media_type="application/json", headers=headers)
