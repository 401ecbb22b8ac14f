"""Sources: what each may assert, how what it sends is taken, its keys and secrets. For administrators."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.security.source_document import InvalidSource, converted, read_source
from tierwise.security.source_registry import (
    create_source,
    find_source,
    list_sources,
    registered_document,
    rotate_key,
    rotate_secret,
    update_source,
)
from tierwise_profile_api import source_documents
from tierwise_profile_api.authenticate import ADMIN, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.body import read_body
from tierwise_profile_api.parameters import known_parameters
from tierwise_profile_api.reads import database_needed

router = APIRouter(
    prefix="/v1/sources", tags=["sources"], dependencies=[Depends(known_parameters), Depends(holding(ADMIN))]
)

SourceName = Annotated[str, Path(description="The source's name.", examples=["shop-page"])]
_encode = msgspec.json.Encoder().encode


class Rotation(msgspec.Struct, frozen=True):
    what: Literal["key", "secret"]
    secret: str | None = None
    grace_s: int = source_documents.GRACE_S


@router.get("", summary="Sources, by name", **source_documents.LIST)
async def read_sources(request: Request) -> Response:
    """All, retired ones too."""
    async with _transaction(request) as connection:
        found = await list_sources(connection)
    return _answer({"items": [registered_document(one) for one in found], "next_cursor": None})


@router.get("/{name}", summary="A source", **source_documents.SHOW)
async def read_one_source(request: Request, name: SourceName) -> Response:
    async with _transaction(request) as connection:
        return _answer(registered_document(await find_source(connection, name)))


@router.post("", summary="Make a source and its first write key", status_code=201, **source_documents.CREATE)
async def make_source(request: Request) -> Response:
    described = read_source(await read_body(request, Any))
    async with _transaction(request) as connection:
        created = await create_source(connection, backend_of(request).vault, described)
        source = await find_source(connection, described.name)
    answer = _answer({"source": registered_document(source), "key": created._asdict()}, status=201)
    answer.headers["Location"] = f"/v1/sources/{quote(described.name, safe='')}"
    return answer


@router.patch("/{name}", summary="Change a source", **source_documents.UPDATE)
async def change_source(request: Request, name: SourceName) -> Response:
    """A JSON merge patch (RFC 7396): what it names is replaced, null is the default again. Ingest follows within 10
    seconds."""
    patch = await read_body(request, Any)
    async with _transaction(request) as connection:
        return _answer(registered_document(await update_source(connection, name, patch)))


@router.post("/{name}/rotate", summary="A new write key, or a new secret", **source_documents.ROTATE)
async def rotate_source(request: Request, name: SourceName) -> Response:
    """The older one goes on for `grace_s` seconds, so that senders can be changed meanwhile."""
    rotation, vault = _rotation(await read_body(request, Any)), backend_of(request).vault
    grace = timedelta(seconds=rotation.grace_s)
    async with _transaction(request) as connection:
        if rotation.what == "key":
            created = await rotate_key(connection, vault, name, grace=grace)
            return _answer({"key": created._asdict(), "secret": None})
        secret = await rotate_secret(connection, vault, name, rotation.secret, grace=grace)
    return _answer({"key": None, "secret": secret if rotation.secret is None else None})


def _rotation(document: Any) -> Rotation:
    rotation = converted(document, Rotation)
    if not 0 <= rotation.grace_s <= source_documents.GRACE_S_MAX:
        raise InvalidSource("grace_s", f"it is between 0 and {source_documents.GRACE_S_MAX}")
    if rotation.what == "key" and rotation.secret is not None:
        raise InvalidSource("secret", "a write key is always made here")
    return rotation


@asynccontextmanager
async def _transaction(request: Request) -> AsyncIterator[AsyncConnection]:
    with database_needed():
        async with backend_of(request).engine.begin() as connection:
            yield connection


def _answer(content: object, *, status: int = 200) -> Response:
    return Response(_encode(content), status, {"Cache-Control": "no-store"}, "application/json")
