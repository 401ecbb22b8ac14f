"""The current view: by id and by identifier."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import internal_id, public_id
from tierwise.domain.identifier import InvalidIdentifier, normalise
from tierwise.domain.source import BACKEND
from tierwise.problem import NotFound, Problem
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, queries
from tierwise_profile_api.audit import personal_data_left
from tierwise_profile_api.authenticate import PERSONAL, PROFILES, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.conditional import entity_tag, matches
from tierwise_profile_api.documents import problems
from tierwise_profile_api.fields import Fields, picked, read_fields
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.parameters import (
    AsOf,
    BadParameter,
    By,
    FieldNames,
    known_parameters,
    past_instant,
)
from tierwise_profile_api.past import read_past, read_states
from tierwise_profile_api.reads import Row
from tierwise_profile_api.view import past_view, view

router = APIRouter(prefix="/v1", tags=["customers"], dependencies=[Depends(known_parameters)])

ProfileReader = Annotated[Reader, Depends(holding(PROFILES))]
CustomerId = Annotated[str, Path(description="The customer's id.", examples=["c_e2rp2eapcnax1"])]

_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Language"}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the ETag given."}}

_encode = msgspec.json.Encoder().encode


class UnknownCustomer(NotFound):
    code, title = "unknown_customer", "There is no such customer"


class NotSeenYet(NotFound):
    code, title = "not_seen_yet", "The customer was not there at that time"


class ErasedCustomer(Problem):
    status, code, title = 410, "erased", "The customer was erased"


async def unknown_customer(source: Backend, number: int) -> Problem:
    """Why an id that no customer has is nobody's. Raises Unavailable."""
    erased = await source.reads.row(queries.ERASED, number)
    if erased is None:
        return UnknownCustomer("No customer has this id.")
    return ErasedCustomer(f"Whoever had this id was erased on {rfc3339(erased[0])}. Delete what you hold of them.")


def customer_number(customer_id: str) -> int:
    """The number behind an id in a path. Raises UnknownCustomer."""
    if (number := internal_id(customer_id)) is None:
        raise UnknownCustomer("This is no customer's id; ids are 15 characters and begin with c_.")
    return number


@router.get(
    "/customers/{customer_id}",
    summary="The current view",
    response_model=documents.Customer | documents.PickedCustomer,
    responses=problems(404, 410) | _NOT_MODIFIED,
    openapi_extra=documented(PROFILES),
)
async def read_customer(
    request: Request,
    reader: ProfileReader,
    customer_id: CustomerId,
    fields: FieldNames = None,
    as_of: AsOf = None,
    by: By = "then",
) -> Response:
    """An id that was merged answers with the winner's view, which then names the id asked for.

    With `as_of` the stored interactions up to that time are folded and classified again, late ones too, by the rulebook
    and cuts of then: there is no `version`, and `lifecycle.since` is null."""
    number = customer_number(customer_id)
    source = backend_of(request)
    chosen = read_fields(fields)
    if as_of is not None:
        time = past_instant("as_of", as_of, datetime.now(UTC))
        return await _answer_as_of(request, number, time, source, reader, fields=chosen, current=by == "current")
    row = await source.reads.row(queries.CUSTOMER, number)
    if row is None:
        raise await unknown_customer(source, number)
    merged = row["id"] != number
    return await _answer(request, row, source, reader, requested_id=customer_id if merged else None, fields=chosen)


@router.get(
    "/customers/by/{kind}/{value:path}",
    summary="The current view, by identifier",
    response_model=documents.Customer | documents.PickedCustomer,
    responses=problems(404, 410) | _NOT_MODIFIED,
    openapi_extra=documented(PROFILES),
)
async def read_customer_by_identifier(
    request: Request,
    reader: ProfileReader,
    kind: Annotated[str, Path(examples=["email"])],
    value: Annotated[str, Path(description="Normalised as at ingest.", examples=["li@example.com"])],
    fields: FieldNames = None,
) -> Response:
    source = backend_of(request)
    chosen = read_fields(fields)
    try:
        normalised = normalise(kind, value, default_region=BACKEND.default_region)
    except InvalidIdentifier as error:
        raise BadParameter("value", f"This is no {kind}: {error}.") from error
    row = await source.reads.row(queries.CUSTOMER_BY_IDENTIFIER, source.vault.identifier_hash(kind, normalised))
    if row is None:
        raise UnknownCustomer("No customer has this identifier.")
    return await _answer(request, row, source, reader, fields=chosen)


async def _answer(
    request: Request,
    row: Row,
    source: Backend,
    reader: Reader,
    *,
    requested_id: str | None = None,
    fields: Fields | None = None,
) -> Response:
    language = negotiated(request.headers.get("accept-language"))
    tag = entity_tag(row, reader, language, fields)
    headers = {"ETag": tag, **_CACHING}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    await personal_data_left(request, reader, [row["id"]])
    if requested_id is None and fields is None:
        return Response(await _encoded(row, source, reader, language), media_type="application/json", headers=headers)
    body = await view(row, source, reader, language=language)
    if requested_id is not None:
        body |= {"requested_id": requested_id, "merged_into": public_id(row["id"])}
    return Response(_encode(picked(body, fields)), media_type="application/json", headers=headers)


async def _encoded(row: Row, source: Backend, reader: Reader, language: str) -> bytes:
    masked = PERSONAL not in reader.scopes
    known = source.views.get(row["id"], row["version"], masked=masked, language=language)
    if known is None:
        known = _encode(await view(row, source, reader, language=language))
        source.views.keep(row["id"], row["version"], known, masked=masked, language=language)
    return known


async def _answer_as_of(
    request: Request,
    number: int,
    time: datetime,
    source: Backend,
    reader: Reader,
    *,
    fields: Fields | None,
    current: bool,
) -> Response:
    past = await read_past(source, number, time)
    if past is None:
        raise await unknown_customer(source, number)
    states = await read_states(source, past, [time], current=current)
    if not states:
        raise NotSeenYet("Nothing had happened with this customer by then.")
    language = negotiated(request.headers.get("accept-language"))
    body = await past_view(past, *states[0], source, reader, language=language)
    if past.id != number:
        body |= {"requested_id": public_id(number), "merged_into": public_id(past.id)}
    await personal_data_left(request, reader, [past.id])
    return Response(_encode(picked(body, fields)), media_type="application/json", headers=_CACHING)
