"""docs/api.md, on who is who: its examples are pasted in their order and do what the text says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.documented import answered
from tests.support.live import listening_api
from tests.support.product import Product, page_view
from tests.support.reader import bearer, reading
from tests.support.scoring import views
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_SECTION = _DOCUMENT.partition("\n## Who is who\n")[2].partition("\n## ")[0]
_SPLIT, _BLOCK, _UNBLOCK, _ERASE, _RULINGS = re.findall(r"^```sh\n(.*?)^```", _SECTION, re.MULTILINE | re.DOTALL)
_SAID, _RULED = [
    msgspec.json.decode(one) for one in re.findall(r"^```json\n(.*?)^```", _SECTION, re.MULTILINE | re.DOTALL)
]
_WANG = {"email": "wang@example.com"}


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """Two people with one tablet, one of whom shares a mailbox with a third."""
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        for number, given in enumerate(({"user_id": "li"}, _WANG)):
            await product.append(page_view(number, identifiers=given))
            await product.score()
        yield product


async def test_every_example_of_who_is_who_does_what_the_text_says(product: Product, settings: Settings) -> None:
    customer = (await product.view("user_id", "li"))["customer_id"]
    other = (await product.view("email", "wang@example.com"))["customer_id"]
    async with product.engine.begin() as connection:
        key = await create_read_key(connection, product.vault, name="console", scopes=("write", "admin"))
    variables = {"CUSTOMER": customer, "OTHER": other, "KEY": key.secret}
    for number, given in enumerate(
        ({"user_id": "li", **_WANG}, {"user_id": "li", "email": "info@example.com"},
         {"user_id": "zhao", "email": "info@example.com"}), 7
    ):  # fmt: skip
        await product.append(page_view(number, identifiers=given))
    await product.score()
    assert len(await views(product.engine, product.vault)) == 1
    async with listening_api(settings) as address:

        async def paste(script: str) -> tuple[Any, int]:
            answer = await answered(script.replace("http://127.0.0.1:8002", address), **variables)
            await product.score()
            return answer, len(await views(product.engine, product.vault))

        assert await paste(_SPLIT) == (_SAID | {"customer_id": customer}, 2)
        assert (await paste(_BLOCK))[1] == 3
        assert (await paste(_UNBLOCK))[1] == 2
        assert (await paste(_ERASE))[1] == 1
        ruled, _ = await paste(_RULINGS)
    at = {"at": ruled["items"][0]["at"]}
    assert ruled == _RULED | {"items": [_RULED["items"][0] | at]}
    async with reading(settings) as client:
        answer = await client.get(f"/v1/rulings?customer_id={other}", headers=bearer(key.secret))
    assert [one["id"] for one in answer.json()["items"]] == ["console:erase-1"]
