"""Saved segments: filters with a name, whose members' coming and going is published."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.domain.change import rfc3339
from tierwise.security.keys import Reader
from tierwise_profile_api import segment_documents
from tierwise_profile_api.authenticate import PROFILES, WRITE, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.body import read_body
from tierwise_profile_api.filters import Asked
from tierwise_profile_api.finding import counting
from tierwise_profile_api.narrowing import narrowed
from tierwise_profile_api.parameters import known_parameters
from tierwise_profile_api.reads import database_needed
from tierwise_profile_api.segments import (
    Definition,
    Named,
    create_segment,
    delete_segment,
    find_segment,
    list_segments,
    problem_of,
    replace_segment,
)

router = APIRouter(prefix="/v1/segments", tags=["segments"], dependencies=[Depends(known_parameters)])

ProfileReader = Annotated[Reader, Depends(holding(PROFILES))]
Writer = Annotated[Reader, Depends(holding(WRITE))]
Name = Annotated[str, Path(description="The segment's name.", examples=["top-buyers"], max_length=63)]

_READING: Final = documented(PROFILES)
_WRITING: Final = documented(WRITE)
_encode = msgspec.json.Encoder().encode


@router.get("", summary="Segments, by name", openapi_extra=_READING, **segment_documents.LIST)
async def read_segments(request: Request, _: ProfileReader) -> Response:
    """Their customers are those of `GET /v1/customers?segment=NAME`."""
    rulebook = await backend_of(request).rulebook_in_force()
    async with _transaction(request) as connection:
        found = await list_segments(connection)
    return _answer({"items": [one.document(rulebook) for one in found], "next_cursor": None})


@router.get("/{name}", summary="A segment, and how many are in it", openapi_extra=_READING, **segment_documents.SHOW)
async def read_segment(request: Request, _: ProfileReader, name: Name) -> Response:
    """`customers`: counted at this moment."""
    source = backend_of(request)
    rulebook = await source.rulebook_in_force()
    async with _transaction(request) as connection:
        found = await find_segment(connection, name)
    customers, as_of = None, rfc3339(datetime.now(UTC))
    if problem_of(found.filter, rulebook) is None:
        asking = counting(await narrowed(source, Asked(filter=found.filter), rulebook), None, rulebook)
        [[_value, customers]] = await source.reads.rows(asking.statement, *asking.values)
    return _answer({**found.document(rulebook), "customers": customers, "as_of": as_of})


@router.post(
    "",
    summary="Save a segment",
    status_code=201,
    openapi_extra=_WRITING | segment_documents.NAMED,
    **segment_documents.CREATE,
)
async def make_segment(request: Request, _: Writer) -> Response:
    """Whoever is in it now comes into it, once everyone has been looked at; from then on it is kept with every change
    of a customer."""
    given = await read_body(request, Named)
    rulebook = await backend_of(request).rulebook_in_force()
    async with _transaction(request) as connection:
        made = await create_segment(connection, given, rulebook)
    answer = _answer(made.document(rulebook), status=201)
    answer.headers["Location"] = f"/v1/segments/{made.name}"
    return answer


@router.put(
    "/{name}",
    summary="Replace a segment",
    openapi_extra=_WRITING | segment_documents.DEFINITION,
    **segment_documents.REPLACE,
)
async def put_segment(request: Request, _: Writer, name: Name) -> Response:
    """Who is not in it any more leaves it, and who is now comes, once everyone has been looked at."""
    given = await read_body(request, Definition)
    rulebook = await backend_of(request).rulebook_in_force()
    async with _transaction(request) as connection:
        replaced = await replace_segment(connection, name, given, rulebook)
    return _answer(replaced.document(rulebook))


@router.delete(
    "/{name}", summary="Delete a segment", status_code=204, openapi_extra=_WRITING, **segment_documents.DELETE
)
async def remove_segment(request: Request, _: Writer, name: Name) -> Response:
    """Nobody is told that its members leave. While a subscription names it, it is 409 `segment_in_use`."""
    async with _transaction(request) as connection:
        await delete_segment(connection, name)
    return Response(status_code=204)


@asynccontextmanager
async def _transaction(request: Request) -> AsyncIterator[AsyncConnection]:
    with database_needed():
        async with backend_of(request).engine.begin() as connection:
            yield connection


def _answer(content: object, *, status: int = 200) -> Response:
    return Response(_encode(content), status, {"Cache-Control": "no-store"}, "application/json")
