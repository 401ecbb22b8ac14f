"""docs/api.md, on reading: its examples are pasted in their order and answer as the text says."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.command import tierwise
from tests.support.documented import answered
from tests.support.live import listening_api
from tests.support.product import Product, purchase
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_READING = _DOCUMENT.partition("\n## Writing back\n")[0]
_CREATE, *_EXAMPLES = re.findall(
    r"^```(?:sh)\n(.*?)^```(?:\n\n```json\n(.*?)^```)?", _READING, re.MULTILINE | re.DOTALL
)


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        bought = purchase(1, "1299.00", time=datetime(2026, 11, 12, tzinfo=UTC), attributes={"region": "CN-31"})
        await product.append(msgspec.structs.replace(bought, identifiers={"email": "li@example.com"}))
        await product.score()
        yield product


async def test_every_example_of_reading_answers_as_the_text_says(product: Product, settings: Settings) -> None:
    created = await tierwise(settings, *_CREATE[0].split()[1:], "--json")
    assert created.status == 0, created.stderr
    customer = (await product.view("email", "li@example.com"))["customer_id"]
    variables = {"CUSTOMER": customer, "KEY": msgspec.json.decode(created.stdout)["secret"]}
    async with listening_api(settings) as address:
        for script, shown in _EXAMPLES:
            for command in re.split(r"^(?=curl )", script, flags=re.MULTILINE)[1:]:
                answer = await answered(command.replace("http://127.0.0.1:8002", address), **variables)
                if shown:
                    expected = msgspec.json.decode(shown.replace("c_8f2kq1z7m4x0t", customer))
                    assert shape(answer) == shape(expected), command
    assert len(_EXAMPLES) >= 9


def shape(document: Any) -> Any:
    """Names and kinds of values: what a score is depends on the day."""
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()}
    if isinstance(document, list):
        return [shape(value) for value in document]
    return type(document)
