"""A database that can be taken away from the services, and come back."""

import asyncio
from urllib.parse import parse_qs, urlsplit

from tests.support.proxy import Proxy


def proxied(dsn: str) -> Proxy:
    """In front of a server that listens on a UNIX socket only; to be started."""
    directory = parse_qs(urlsplit(dsn).query)["host"][0]
    return Proxy(lambda: asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432"))


def through(dsn: str, proxy: Proxy) -> str:
    """The DSN of the same database through the proxy."""
    parts = urlsplit(dsn)
    return f"postgresql://{parts.username}@127.0.0.1:{proxy.port}{parts.path}"
