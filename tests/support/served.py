"""The product as it runs for somebody's clients: one deployment that the tests of clients share."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.support.proxy import Proxy
from tests.support.services import Deployment, Service, deployed, until
from tierwise.db.engine import open_engine
from tierwise.security.personal import open_vault
from tierwise.security.source_document import read_source
from tierwise.security.source_registry import create_source

KNOWN_WITHIN_S = 20.0


@dataclass
class Served:
    """`database`: between ingest and its database, to be taken away."""

    deployment: Deployment
    ingest: Service
    api: Service
    database: Proxy
    reader: Mapping[str, str]

    async def source(self, name: str, *, trust: str = "backend", **intake: Any) -> str:
        """The write key of a new one. `trust` and `intake` as in the sources' document."""
        described = read_source({"name": name, "trust": trust, "intake": intake})
        async with open_engine(self.deployment.settings) as engine, engine.begin() as connection:
            vault = await open_vault(connection, self.deployment.settings)
            return (await create_source(connection, vault, described)).secret

    async def view(self, kind: str, value: str) -> dict[str, Any]:
        """Empty while nobody is known by it."""
        async with httpx.AsyncClient(base_url=self.api.url, headers=self.reader) as client:
            found = await client.get(f"/v1/customers/by/{kind}/{value}")
        return found.json() if found.status_code == 200 else {}

    async def timeline(self, kind: str, value: str, *, of: int) -> list[dict[str, Any]]:
        """The customer's, the oldest first, once there are so many on it."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = await self._timeline(kind, value)
            return len(found) >= of

        await until(there, within_s=KNOWN_WITHIN_S, told=lambda: f"{len(found)} of {of}\n{self.deployment.said()}")
        return sorted(found, key=lambda one: str(one["time"]))

    async def _timeline(self, kind: str, value: str) -> list[dict[str, Any]]:
        customer = (await self.view(kind, value)).get("customer_id")
        if customer is None:
            return []
        items: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next_cursor": ""}
        async with httpx.AsyncClient(base_url=self.api.url, headers=self.reader) as client:
            while (cursor := page["next_cursor"]) is not None:
                parameters = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
                page = (await client.get(f"/v1/customers/{customer}/timeline", params=parameters)).json()
                items += page["items"]
        return items

    @asynccontextmanager
    async def without_database(self) -> AsyncIterator[None]:
        """Ingest answers 503 meanwhile."""
        await self.database.go_away()
        try:
            yield
        finally:
            await self.database.start()


@asynccontextmanager
async def served(directory: Path, dsn: str) -> AsyncIterator[Served]:
    sockets = parse_qs(urlsplit(dsn).query)["host"][0]
    database = Proxy(lambda: asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432"))
    await database.start()
    parts = urlsplit(dsn)
    proxied = f"postgresql://{parts.username}@127.0.0.1:{database.port}{parts.path}"
    async with deployed(directory, dsn) as deployment:
        ingest, _, api = await asyncio.gather(
            deployment.start("ingest", database_url=proxied),
            deployment.start("scoring"),
            deployment.start("profile-api"),
        )
        yield Served(deployment, ingest, api, database, await deployment.read_key("clients"))
    await database.go_away()
