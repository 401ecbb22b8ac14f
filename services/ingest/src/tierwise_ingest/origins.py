"""Which pages may send with a source's key: cross-origin resource sharing, as the Fetch standard has it.

A browser names the page's origin in every request that a script of another origin makes with POST; systems and SDKs
of servers name none, so for them nothing changes.
"""

import re
from collections.abc import Collection
from typing import Final

from tierwise.asgi import Response, Scope, header
from tierwise.domain.source import Source
from tierwise.problem import Forbidden

_REMEMBERED_S: Final = 600
_NAMES: Final = re.compile(rb"[A-Za-z0-9-]{1,64}(?: ?, ?[A-Za-z0-9-]{1,64}){0,31}")
_SHARED: Final = {
    # `sendBeacon` always sends in the mode "include", and then a browser asks for this; there are no cookies here.
    "Access-Control-Allow-Credentials": "true",
    "Vary": "Origin",
}


class OriginNotAllowed(Forbidden):
    code, title = "origin_not_allowed", "Pages of this origin may not send to this source"


def preflight(scope: Scope, origins: Collection[str], methods: Collection[str]) -> Response:
    """The answer to OPTIONS, which carries no key: `origins` are those that any source allows, and the request itself
    is then judged by `cors_headers`; `methods` are the path's. Raises OriginNotAllowed."""
    headers = {"Allow": ", ".join(sorted({*methods, "OPTIONS"})), "Vary": "Origin"}
    origin = _text(scope, b"origin")
    if origin is not None:
        if origin not in origins:
            raise _not_allowed("No source allows")
        headers |= {"Access-Control-Allow-Origin": origin, **_SHARED}
        headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        headers["Access-Control-Max-Age"] = str(_REMEMBERED_S)
        asked = header(scope["headers"], b"access-control-request-headers")
        if asked is not None and _NAMES.fullmatch(asked):
            headers["Access-Control-Allow-Headers"] = asked.decode("ascii")
    return Response(204, b"", media_type="text/plain", headers=headers)


def cors_headers(source: Source, origin: str | None, *, host: str | None = None) -> dict[str, str]:
    """For the response to a request with this `Origin` and `Host`, errors included: without them the page cannot read
    why. A page that ingest itself serves is not of another origin. Raises OriginNotAllowed."""
    if origin is None or (host is not None and origin.partition("://")[2] == host):
        return {}
    if origin not in source.intake.origins:
        raise _not_allowed(f"{source.name} does not allow")
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After", **_SHARED}


def _not_allowed(who: str) -> OriginNotAllowed:
    detail = f"{who} pages of this origin: `tierwise source update NAME --origin ORIGIN` does."
    return OriginNotAllowed(detail, headers={"Vary": "Origin"})


def _text(scope: Scope, name: bytes) -> str | None:
    found = header(scope["headers"], name)
    return None if found is None else found.decode("latin-1")
