"""What answers say to browsers beside themselves, so that nothing is made of them that they are not."""

from typing import Final

from tierwise.asgi import Message, Scope, header

ALWAYS: Final = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
"""Put on by the server, on everything that it answers."""

_TLS_FROM_NOW_ON: Final = (b"strict-transport-security", b"max-age=31536000")
_PAGE: Final = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_DOCUMENTATION: Final = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline' https:; style-src 'self' 'unsafe-inline' https:; "
    b"font-src https:; img-src 'self' data: https:; connect-src 'self'; worker-src blob:; base-uri 'none'; "
    b"frame-ancestors 'none'"
)
"""Of the pages that the framework makes, which load what they show it with."""

_POLICIES: Final = {"/docs": _DOCUMENTATION, "/redoc": _DOCUMENTATION}
_NAME: Final = b"content-security-policy"


def secure(scope: Scope, start: Message) -> None:
    """Adds to the headers of `http.response.start`: what a page may load (Content Security Policy), unless it says so
    itself; and, where a proxy says that the browser came by TLS, that it is to do so from now on (RFC 6797). Anyone
    may claim that: browsers heed it only over TLS."""
    headers = start["headers"] = list(start.get("headers", ()))
    if (header(headers, b"content-type") or b"").startswith(b"text/html") and header(headers, _NAME) is None:
        headers.append((_NAME, _POLICIES.get(scope["path"], _PAGE)))
    if scope.get("scheme") == "https" or header(scope["headers"], b"x-forwarded-proto") == b"https":
        headers.append(_TLS_FROM_NOW_ON)
