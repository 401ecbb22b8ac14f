"""The checks of `make torture` see what they are there to see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import serving, write_key
from tests.support.product import Product
from tests.torture.checks import Checks
from tests.torture.journal import Journal
from tests.torture.said import NATIVE, Script
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream

BATCHES = 3


@asynccontextmanager
async def checked(settings: Settings, engine: AsyncEngine, vault: Vault, directory: Path) -> AsyncIterator[Checks]:
    """After some batches were accepted, scored and published."""
    script = Script(1, datetime.now(UTC) - timedelta(minutes=1))
    journal = Journal(directory / "acknowledged.jsonl")
    for client in NATIVE:
        key = await write_key(engine, vault, source=client)
        async with serving(settings, key=key.secret) as http:
            for number in range(BATCHES):
                response = await http.post("/v1/interactions", json=script.native(client, number))
                assert response.json()["rejected"] == 0
                journal.acknowledged(client, number)
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.score()
        await product.relay()
        yield Checks(engine, partial(open_stream, settings, engine, vault), script, journal)
    journal.close()


async def everything_wrong(checks: Checks) -> list[str]:
    _, wrong = await checks.calm()
    wrong += (await checks.all_here_once()).wrong
    wrong += await checks.nothing_is_missing_on_the_topics()
    return wrong + await checks.history_is_as_published()


ONE_KEY = "(SELECT min(key::text)::uuid FROM interaction_keys)"
DAMAGED = {
    "is lost": f"DELETE FROM interaction_keys WHERE key = {ONE_KEY}",
    "counted: ": "UPDATE customers SET ledger = (SELECT ledger FROM customers ORDER BY length(ledger) DESC LIMIT 1)",
    "stored: ": f"""
        INSERT INTO interactions (customer_id, time, key, source_id, id, channel, type, received, identifiers, body)
        SELECT customer_id, time - interval '1 second', key, source_id, id, channel, type, received, identifiers, body
        FROM interactions WHERE key = {ONE_KEY}""",
    "in the history as it was published": """
        UPDATE changes SET score = score + 1 WHERE aspect = 'intent' AND customer_id =
            (SELECT min(customer_id) FROM changes WHERE aspect = 'intent')""",
    "rulings: ": """
        INSERT INTO rulings (key, id, ruling, author, at) VALUES (gen_random_uuid(), 'x', 'block', 'nobody', now())""",
    "published ": "UPDATE customers SET sequence = sequence + 1 WHERE id = (SELECT min(id) FROM customers)",
}


@pytest.mark.parametrize("said", DAMAGED)
async def test_damage_is_found_and_named(
    said: str, settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    async with checked(settings, engine, vault, tmp_path) as checks:
        assert await everything_wrong(checks) == []
        again = Checks(engine, checks.opened, checks.script, checks.journal)
        async with engine.begin() as connection:
            await connection.execute(text(DAMAGED[said]))
        found = await everything_wrong(again)
    assert found
    assert any(said in one for one in found), found
