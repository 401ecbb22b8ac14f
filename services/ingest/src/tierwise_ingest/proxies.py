"""The address that a sender used, which signatures are made over: behind a proxy only the proxy knows it."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from tierwise.asgi import Scope, header

Networks = Sequence[IPv4Network | IPv6Network]


def sent_to(scope: Scope, trusted: Networks) -> str:
    """Scheme, host, path and query. `X-Forwarded-Proto` and `X-Forwarded-Host` are believed from trusted networks
    alone: from anyone else they would let a sender choose what its signature is checked against."""
    scheme, host = scope["scheme"], _text(scope, b"host")
    if trusted and _is_within(scope.get("client"), trusted):
        scheme = _text(scope, b"x-forwarded-proto") or scheme
        host = _text(scope, b"x-forwarded-host") or host
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{scheme}://{host}{path}{'?' if query else ''}{query}"


def _text(scope: Scope, name: bytes) -> str:
    """The first of the values that proxies one after the other have listed."""
    return (header(scope["headers"], name) or b"").decode("latin-1").partition(",")[0].strip()


def _is_within(client: tuple[str, int] | None, networks: Networks) -> bool:
    if client is None:
        return False
    try:
        address = ip_address(client[0])
    except ValueError:  # a Unix socket's path
        return False
    return any(address in network for network in networks)
