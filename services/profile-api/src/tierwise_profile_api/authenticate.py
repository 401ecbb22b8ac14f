"""Who asks, and whether their key allows it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from fastapi import Request

from tierwise.domain.customer_id import internal_id, public_id
from tierwise.problem import Forbidden, Unauthorized, Unavailable
from tierwise.security.keys import Reader
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.parameters import TOKEN_PARAMETER
from tierwise_profile_api.tokens import PREFIX, open_token

PROFILES: Final = "profiles:read"
TIMELINE: Final = "timeline:read"
STATISTICS: Final = "statistics:read"
EXPORT: Final = "export"
PERSONAL: Final = "pii:read"
WRITE: Final = "write"
ADMIN: Final = "admin"


class MissingScope(Forbidden):
    """`scope` names what the key lacks."""

    code, title = "missing_scope", "The key's scopes do not allow this"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a key with the scope {scope}.", scope=scope)


class OtherCustomer(Forbidden):
    code, title = "other_customer", "The token is another customer's"


def holding(scope: str) -> Callable[[Request], Awaitable[Reader]]:
    """The reader whose key came with the request. Raises Unauthorized, MissingScope, OtherCustomer, TooManyRequests,
    Unavailable."""

    async def authenticate(request: Request) -> Reader:
        reader = await reader_of(request)
        if scope not in reader.scopes:
            raise MissingScope(scope)
        _check_customer(reader, request)
        return reader

    return authenticate


async def reader_of(request: Request) -> Reader:
    """Whoever the key, the token or the identity provider's JWT says, whatever their scopes. Raises Unauthorized,
    TooManyRequests, Unavailable."""
    source = backend_of(request)
    reader = await _reader(request, source)
    source.rates.take(reader)
    return reader


async def still_holds(request: Request, scope: str) -> bool:
    """Whether what came with a request that goes on is still good. What cannot be looked up now is."""
    try:
        return scope in (await _reader(request, backend_of(request))).scopes
    except Unauthorized:
        return False
    except Unavailable:
        return True


async def _reader(request: Request, source: Backend) -> Reader:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    secret = given.strip() if scheme.lower() == "bearer" else ""
    if not secret and (secret := request.query_params.get(TOKEN_PARAMETER, "")) and not secret.startswith(PREFIX):
        raise Unauthorized(
            f"`{TOKEN_PARAMETER}` takes a short-lived token (POST /v1/tokens), never a key: addresses end up in logs."
        )
    if not secret:
        raise Unauthorized("Send a read key as `Authorization: Bearer KEY`.")
    if secret.startswith(PREFIX):
        return await _holder_of_token(secret, source)
    if source.issuer is not None and secret.count(".") == 2:
        return await source.issuer.reader(secret)
    return await source.keys.authenticate_read(secret)


async def _holder_of_token(secret: str, source: Backend) -> Reader:
    token = open_token(secret, source.vault, datetime.now(UTC))
    maker = await source.keys.reader(token.key)
    scopes = maker.scopes.intersection(token.scopes)
    return msgspec.structs.replace(maker, scopes=scopes, customer=token.customer, ends_s=token.expires_s)


def _check_customer(reader: Reader, request: Request) -> None:
    if reader.customer is None:
        return
    path = request.path_params
    asked = path.get("customer_id") or path.get("change_id", "").partition(":")[0]
    if internal_id(asked) != reader.customer:
        mine = public_id(reader.customer)
        raise OtherCustomer(f"This token reads {mine} alone, at /v1/customers/{mine} and what is below it.")


def documented(scope: str) -> dict[str, Any]:
    """For a route's `openapi_extra`: the key and the scope that it needs."""
    return {"security": [{"readKey": [scope]}]}
