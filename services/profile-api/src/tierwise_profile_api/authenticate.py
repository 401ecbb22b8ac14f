"""Who asks, and whether their key allows it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request

from tierwise.problem import Forbidden, Unauthorized
from tierwise.security.keys import Reader
from tierwise_profile_api.backend import backend_of

PROFILES: Final = "profiles:read"
TIMELINE: Final = "timeline:read"
EXPORT: Final = "export"
PERSONAL: Final = "pii:read"
ADMIN: Final = "admin"


class MissingScope(Forbidden):
    """`scope` names what the key lacks."""

    code, title = "missing_scope", "The key's scopes do not allow this"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a key with the scope {scope}.", scope=scope)


def holding(scope: str) -> Callable[[Request], Awaitable[Reader]]:
    """The reader whose key came with the request. Raises Unauthorized, MissingScope, Unavailable."""

    async def authenticate(request: Request) -> Reader:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthorized("Send a read key as `Authorization: Bearer KEY`.")
        reader = await backend_of(request).keys.authenticate_read(secret.strip())
        if scope not in reader.scopes:
            raise MissingScope(scope)
        return reader

    return authenticate


def documented(scope: str) -> dict[str, Any]:
    """For a route's `openapi_extra`: the key and the scope that it needs."""
    return {"security": [{"readKey": [scope]}]}
