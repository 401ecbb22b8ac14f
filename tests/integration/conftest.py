"""The product with a profile API before it, for the tests that need both."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import Product
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_profile_api.app import create_app


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.fixture
async def client(product: Product) -> AsyncIterator[httpx.AsyncClient]:
    """Of the profile API, with a key that may do anything."""
    async with product.engine.begin() as connection:
        key = await create_read_key(connection, product.vault, name="test", scopes=SCOPES)
    app = create_app(product.settings)
    headers = {"Authorization": f"Bearer {key.secret}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as client,
    ):
        yield client
