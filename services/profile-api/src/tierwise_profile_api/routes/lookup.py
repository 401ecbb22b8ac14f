"""Many customers at once, by ids and identifiers mixed."""

import asyncio
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from tierwise.domain.customer_id import internal_id, public_id
from tierwise.domain.identifier import InvalidIdentifier, normalise
from tierwise.domain.source import BACKEND
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, queries
from tierwise_profile_api.audit import personal_data_left
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.body import InvalidBody, read_body
from tierwise_profile_api.documents import problems
from tierwise_profile_api.fields import Fields, picked, read_fields
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.parameters import FieldNames, known_parameters
from tierwise_profile_api.reads import Row
from tierwise_profile_api.view import view

router = APIRouter(prefix="/v1", tags=["customers"], dependencies=[Depends(known_parameters)])

ASKED_MAX: Final = 500
_VIEWS_AT_ONCE: Final = 50
"""A view takes 0.2 ms of the processor: so many hold other requests up for 10 ms."""

_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["customers"],
                    "additionalProperties": False,
                    "properties": {
                        "customers": {
                            "type": "array",
                            "maxItems": ASKED_MAX,
                            "items": {
                                "oneOf": [
                                    {"type": "string"},
                                    {
                                        "type": "object",
                                        "required": ["kind", "value"],
                                        "additionalProperties": False,
                                        "properties": {"kind": {"type": "string"}, "value": {"type": "string"}},
                                    },
                                ]
                            },
                        }
                    },
                },
                "example": {"customers": ["c_e2rp2eapcnax1", {"kind": "email", "value": "li@example.com"}]},
            }
        },
    }
}

_encode = msgspec.json.Encoder().encode


class Identifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    value: str


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    customers: list[str | Identifier]


@router.post(
    "/customers/lookup",
    summary="Many current views at once",
    response_model=documents.LookedUp,
    responses=problems(413),
    openapi_extra=documented(PROFILES) | _REQUEST,
)
async def look_up(
    request: Request, reader: Annotated[Reader, Depends(holding(PROFILES))], fields: FieldNames = None
) -> Response:
    """Up to 500 ids and identifiers, mixed. `items` stand in the order asked, each with its `index` in what was asked;
    whom nobody knows stands in `unknown`. Someone who is asked for twice stands there twice."""
    chosen, source = read_fields(fields), backend_of(request)
    asked = (await read_body(request, Asked)).customers
    if len(asked) > ASKED_MAX:
        raise InvalidBody(f"At most {ASKED_MAX} at once.", field="customers")
    found = await _found(source, asked)
    await personal_data_left(request, reader, sorted({row["id"] for row in found.values()}))
    language = negotiated(request.headers.get("accept-language"))
    body = {
        "items": await _items(asked, found, source, reader, chosen, language=language),
        "unknown": [{"index": index, "asked": one} for index, one in enumerate(asked) if index not in found],
    }
    return Response(_encode(body), media_type="application/json")


async def _found(source: Backend, asked: list[str | Identifier]) -> dict[int, Row]:
    """By index: the rows of those that are known, with one query."""
    ids, hashes = {}, {}
    for index, one in enumerate(asked):
        if isinstance(one, str):
            ids[index] = internal_id(one)
        else:
            try:
                normalised = normalise(one.kind, one.value, default_region=BACKEND.default_region)
            except InvalidIdentifier:
                continue  # nobody can have it
            hashes[index] = source.vault.identifier_hash(one.kind, normalised)
    known = {index: number for index, number in ids.items() if number is not None}
    rows = await source.reads.rows(
        queries.CUSTOMERS_ASKED, list(known), list(known.values()), list(hashes), list(hashes.values())
    )
    return {row["number"]: row for row in rows}


async def _items(
    asked: list[str | Identifier],
    found: dict[int, Row],
    source: Backend,
    reader: Reader,
    fields: Fields | None,
    *,
    language: str,
) -> list[dict[str, Any]]:
    views: dict[int, dict[str, Any]] = {}
    items: list[dict[str, Any]] = []
    for index, row in sorted(found.items()):
        if (one := views.get(row["id"])) is None:
            if len(views) % _VIEWS_AT_ONCE == _VIEWS_AT_ONCE - 1:
                await asyncio.sleep(0)
            one = views[row["id"]] = await view(row, source, reader, language=language)
        who, winner = asked[index], public_id(row["id"])
        merged = {"requested_id": who, "merged_into": winner} if isinstance(who, str) and who != winner else {}
        items.append({"index": index, "customer": picked(one | merged, fields)})
    return items
