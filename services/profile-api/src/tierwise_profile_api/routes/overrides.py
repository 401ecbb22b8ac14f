"""Overrides: what a person sets over what is computed, and takes back."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from tierwise.domain import attributes, override
from tierwise.domain.change import rfc3339
from tierwise.security.keys import Reader
from tierwise_profile_api.authenticate import PROFILES, WRITE, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.body import InvalidBody, read_body
from tierwise_profile_api.documents import problems
from tierwise_profile_api.entries import Said, append, customer_row
from tierwise_profile_api.entry_documents import ID_CHARACTERS_MAX, NewOverride, appending
from tierwise_profile_api.parameters import BadParameter, known_parameters
from tierwise_profile_api.routes.customers import CustomerId
from tierwise_profile_api.view import view

router = APIRouter(
    prefix="/v1/customers/{customer_id}/overrides", tags=["writing back"], dependencies=[Depends(known_parameters)]
)

Writer = Annotated[Reader, Depends(holding(WRITE))]

_LIST: dict[str, Any] = {
    "description": "By aspect.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["items", "next_cursor"],
                "properties": {
                    "items": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["aspect", "value", "computed", "reason", "author", "expires"],
                            "properties": {
                                "aspect": {"type": "string"},
                                "value": {"type": "string"},
                                "computed": {"type": ["string", "null"], "description": "What it stands over."},
                                "reason": {"type": ["string", "null"]},
                                "author": {"type": ["string", "null"]},
                                "expires": {"type": ["string", "null"], "format": "date-time"},
                            },
                        },
                    },
                    "next_cursor": {"type": "null"},
                },
            }
        }
    },
}

_encode = msgspec.json.Encoder().encode


@router.get(
    "",
    summary="Overrides that hold",
    responses=problems(404, 410) | {200: _LIST},
    openapi_extra=documented(PROFILES),
)
async def read_overrides(
    request: Request, reader: Annotated[Reader, Depends(holding(PROFILES))], customer_id: CustomerId
) -> Response:
    """With what is computed beside each."""
    source = backend_of(request)
    found = await view(await customer_row(source, customer_id), source, reader)
    return Response(_encode({"items": found["overrides"], "next_cursor": None}), media_type="application/json")


@router.post("", summary="Set an aspect by hand", **appending(NewOverride))
async def set_override(request: Request, writer: Writer, customer_id: CustomerId) -> Response:
    """It stands over what is computed until it is taken back, replaced or expires. Rules go on seeing what is
    computed."""
    wanted = await read_body(request, NewOverride)
    source = backend_of(request)
    row = await customer_row(source, customer_id)
    known = override.values_of(await source.rulebook_in_force())
    if wanted.aspect not in known:
        raise InvalidBody(f"The aspects are {', '.join(known)}.", field="aspect")
    if wanted.value not in known[wanted.aspect]:
        raise InvalidBody(f"At this aspect it is one of {', '.join(known[wanted.aspect])}.", field="value")
    properties = {"aspect": wanted.aspect, "value": wanted.value, "reason": wanted.reason}
    if wanted.expires is not None:
        properties["expires"] = _future(wanted.expires)
    return await append(request, writer, [row], Said(override.TYPE, properties, id=wanted.id))


@router.delete("/{aspect}", summary="Take an override back", **appending())
async def take_override_back(
    request: Request,
    writer: Writer,
    customer_id: CustomerId,
    aspect: Annotated[str, Path(examples=["tier"])],
    reason: Annotated[str | None, Query(min_length=1, max_length=1_000)] = None,
    id: Annotated[str | None, Query(min_length=1, max_length=ID_CHARACTERS_MAX)] = None,  # noqa: A002
) -> Response:
    """What is computed shows again. Where nothing is set at the aspect that is no error: what was set a moment ago may
    not be scored yet."""
    source = backend_of(request)
    row = await customer_row(source, customer_id)
    known = override.values_of(await source.rulebook_in_force())
    if aspect not in known and aspect not in override.overrides_of(attributes.unpack(row["attributes"])):
        raise BadParameter("aspect", f"The aspects are {', '.join(known)}.")
    properties = {"aspect": aspect, "value": None} | ({} if reason is None else {"reason": reason})
    return await append(request, writer, [row], Said(override.TYPE, properties, id=id))


def _future(expires: datetime) -> str:
    try:
        ends = expires.astimezone(UTC)
    except OverflowError as error:
        raise InvalidBody("It is a year from now to 9999.", field="expires") from error
    if ends <= datetime.now(UTC):
        raise InvalidBody(
            "It is over already; leave it out for one that stands until it is taken back.", field="expires"
        )
    return rfc3339(ends)
