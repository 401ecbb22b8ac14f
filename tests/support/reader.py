"""The profile API as somebody with a key sees it, in the test's own process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.security.keys import DEFAULT_SCOPES, create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app


@asynccontextmanager
async def reading(settings: Settings, secret: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API; `secret`: of its key."""
    app = create_app(settings)
    headers = {} if secret is None else bearer(secret)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://profile-api", headers=headers) as client,
    ):
        yield client


async def key(engine: AsyncEngine, vault: Vault, *scopes: str, rate_per_s: float | None = None) -> str:
    """The secret of a new one."""
    async with engine.begin() as connection:
        wanted = scopes or DEFAULT_SCOPES
        created = await create_read_key(connection, vault, name="test", scopes=wanted, rate_per_s=rate_per_s)
    return created.secret


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
