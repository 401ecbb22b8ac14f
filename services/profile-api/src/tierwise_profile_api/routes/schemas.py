"""What is published, described for machines: open to all, as the OpenAPI document is."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Response

from tierwise.problem import NotFound
from tierwise.publishing import asyncapi
from tierwise.publishing.schemas import SCHEMAS, path_of
from tierwise_profile_api.parameters import known_parameters

router = APIRouter(include_in_schema=False, dependencies=[Depends(known_parameters)])

_CACHING: Final = {"Cache-Control": "public, max-age=300"}


class UnknownSchema(NotFound):
    code, title = "unknown_schema", "There is no such schema"


@router.get("/schemas")
async def list_schemas() -> Response:
    """By type of event, where its schema is."""
    return _json({event_type: path_of(event_type) for event_type in SCHEMAS}, "application/json")


@router.get("/schemas/{name}")
async def read_schema(name: str) -> Response:
    """`name`: the event's type and `.json`."""
    schema = SCHEMAS.get(name.removesuffix(".json"))
    if schema is None:
        raise UnknownSchema(f"There are {', '.join(SCHEMAS)}, each with .json.")
    return _json(schema, "application/schema+json")


@router.get("/asyncapi.json")
async def read_asyncapi() -> Response:
    return _json(asyncapi.document(), "application/json")


def _json(content: Any, media_type: str) -> Response:
    return Response(msgspec.json.encode(content), media_type=media_type, headers=_CACHING)
