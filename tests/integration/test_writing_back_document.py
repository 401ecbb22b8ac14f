"""docs/api.md, on writing back: its examples are pasted in their order and do what the text says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.command import tierwise
from tests.support.documented import answered
from tests.support.live import listening_api
from tests.support.product import Product, page_view
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_SECTION = _DOCUMENT.partition("\n## Writing back\n")[2].partition("\n## ")[0]
_CREATE, *_REQUESTS = re.findall(r"^```sh\n(.*?)^```", _SECTION, re.MULTILINE | re.DOTALL)
_ANSWERS = [msgspec.json.decode(one) for one in re.findall(r"^```json\n(.*?)^```", _SECTION, re.MULTILINE | re.DOTALL)]


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        for number, address in enumerate(("li@example.com", "li@work.example")):
            await product.append(page_view(number, identifiers={"email": address}, attributes={"age": 40}))
            await product.score()
        yield product


async def test_every_example_of_writing_back_does_what_the_text_says(product: Product, settings: Settings) -> None:
    created = await tierwise(settings, *_CREATE.split()[1:], "--json")
    assert created.status == 0, created.stderr
    customer, other = [
        (await product.view("email", one))["customer_id"] for one in ("li@example.com", "li@work.example")
    ]
    variables = {"CUSTOMER": customer, "OTHER": other, "KEY": msgspec.json.decode(created.stdout)["secret"]}
    override, listed, taken_back, note, correction, merge = _REQUESTS
    async with listening_api(settings) as address:

        async def paste(script: str) -> object:
            answer = await answered(script.replace("http://127.0.0.1:8002", address), **variables)
            await product.score()
            return answer

        assert await paste(override) == _ANSWERS[0] | {"customer_id": customer}
        assert await paste(listed) == _ANSWERS[1]
        await paste(taken_back)
        before = await product.view("email", "li@example.com")
        assert before["overrides"] == []
        for script in (note, correction, merge):
            await paste(script)
    after = await product.view("email", "li@work.example")
    assert after["customer_id"] == customer
    assert after["attributes"]["region"] == "CN-31"
    assert "age" not in after["attributes"]
    assert after["interactions"] == 3
    assert after["intent"]["score"] > before["intent"]["score"]
