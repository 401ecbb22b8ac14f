"""docs/find.md: its examples are pasted in their order."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.documented import pasted
from tests.support.live import listening_api
from tests.support.pages import blocks
from tests.support.product import Product, purchase
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream

EXAMPLES = [block.text for block in blocks("docs/find.md") if block.kind == "sh"]


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(purchase(1, "1299.00"))
        await product.score()
        yield product


async def test_every_example_of_finding_can_be_pasted(product: Product, settings: Settings, tmp_path: Path) -> None:
    async with product.engine.begin() as connection:
        key = await create_read_key(connection, product.vault, name="test", scopes=SCOPES)
    table, customers = tmp_path / "channels.xlsx", tmp_path / "customers.csv"
    async with listening_api(settings) as address:
        for script in EXAMPLES:
            here = script.replace("http://127.0.0.1:8002", address).replace("$TIERWISE_READ_KEY", key.secret)
            await pasted("sh", here.replace(table.name, str(table)).replace(customers.name, str(customers)))
    assert "客户编号" in customers.read_text("utf-8-sig")
    assert table.read_bytes().startswith(b"PK")
    assert len(EXAMPLES) >= 5
