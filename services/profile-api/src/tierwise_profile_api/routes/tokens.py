"""Short-lived tokens, with which a page shows a customer their own profile."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from tierwise.db.tables import customers
from tierwise.domain.change import rfc3339
from tierwise.problem import Forbidden
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, tokens
from tierwise_profile_api.authenticate import MissingScope, reader_of
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.body import read_body
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import BadParameter, known_parameters
from tierwise_profile_api.routes.customers import customer_number, unknown_customer

router = APIRouter(prefix="/v1", tags=["tokens"], dependencies=[Depends(known_parameters)])

_REQUEST: Final[dict[str, Any]] = {
    "security": [{"readKey": []}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["customer_id"],
                    "additionalProperties": False,
                    "properties": {
                        "customer_id": {"type": "string"},
                        "scopes": {
                            "type": "array",
                            "items": {"enum": list(tokens.SCOPES)},
                            "default": ["profiles:read"],
                            "description": "The key has to hold them too.",
                        },
                        "expires_in_s": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": tokens.EXPIRES_S_MAX,
                            "default": tokens.EXPIRES_S,
                        },
                    },
                },
                "example": {"customer_id": "c_e2rp2eapcnax1", "scopes": ["profiles:read"], "expires_in_s": 900},
            }
        },
    },
}

_encode = msgspec.json.Encoder().encode


class TokenNotAllowed(Forbidden):
    code, title = "token_not_allowed", "A token makes no tokens"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    customer_id: str
    scopes: tuple[str, ...] = ("profiles:read",)
    expires_in_s: int = tokens.EXPIRES_S


@router.post(
    "/tokens",
    summary="A short-lived token for a browser, bound to one customer",
    status_code=201,
    response_model=documents.BrowserToken,
    responses=problems(404, 410, 413),
    openapi_extra=_REQUEST,
)
async def make_token(request: Request, reader: Annotated[Reader, Depends(reader_of)]) -> Response:
    """Any key makes tokens that may do less than itself: one customer, and of its scopes those named. A token stands
    for the key: it ends with it, and shares its rate."""
    if reader.customer is not None or reader.id.startswith("oidc:"):
        raise TokenNotAllowed("Make tokens with a read key, in your backend.")
    wanted = await read_body(request, Wanted)
    if not 0 < wanted.expires_in_s <= tokens.EXPIRES_S_MAX:
        raise BadParameter("expires_in_s", f"It is between 1 and {tokens.EXPIRES_S_MAX} seconds.")
    if not wanted.scopes or not set(wanted.scopes) <= set(tokens.SCOPES):
        raise BadParameter("scopes", f"A token has some of {', '.join(tokens.SCOPES)}.")
    if missing := sorted(set(wanted.scopes) - reader.scopes):
        raise MissingScope(missing[0])
    number, source = customer_number(wanted.customer_id), backend_of(request)
    if await source.reads.row(f"SELECT FROM {customers} WHERE id = $1", number) is None:
        raise await unknown_customer(source, number)
    token, ends = tokens.seal_token(
        reader,
        customer=number,
        scopes=wanted.scopes,
        now=datetime.now(UTC),
        expires_in_s=wanted.expires_in_s,
        vault=source.vault,
    )
    body = {"token": token, "customer_id": wanted.customer_id, "scopes": wanted.scopes, "expires_at": rfc3339(ends)}
    return Response(_encode(body), 201, {"Cache-Control": "no-store"}, "application/json")
