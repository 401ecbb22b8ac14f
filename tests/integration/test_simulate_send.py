"""Simulated traffic over HTTP into a real ingest."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from time import monotonic

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended, write_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_embedded.simulate.send import NotTaken, send
from tierwise_embedded.simulate.traffic import simulate
from tierwise_ingest.commands import serve

START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def ingest_settings(settings: Settings) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return settings.model_copy(update={"ingest_port": probe.getsockname()[1]})


@pytest.fixture
def url(ingest_settings: Settings) -> str:
    return f"http://127.0.0.1:{ingest_settings.ingest_port}"


@asynccontextmanager
async def ingest(settings: Settings, *, after_s: float = 0) -> AsyncIterator[None]:
    async def later() -> None:
        await asyncio.sleep(after_s)
        await serve(settings)

    serving = asyncio.create_task(later())
    try:
        yield
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def test_everything_sent_is_on_the_stream(
    ingest_settings: Settings, engine: AsyncEngine, vault: Vault, url: str
) -> None:
    key = await write_key(engine, vault, source="demo")
    items = list(islice(simulate(100, 1, START), 1_200))
    async with ingest(ingest_settings):
        sent = await send(items, url=url, key=key.secret)
    assert (sent.accepted, sent.rejected, sent.reasons) == (1_200, 0, [])
    interactions = await appended(ingest_settings, engine, vault)
    assert sorted(interaction.id for interaction in interactions) == sorted(item["id"] for item in items)


async def test_an_ingest_that_is_away_is_waited_for(
    ingest_settings: Settings, engine: AsyncEngine, vault: Vault, url: str
) -> None:
    key = await write_key(engine, vault, source="demo")
    async with ingest(ingest_settings, after_s=1):
        sent = await send(islice(simulate(10, 1, START), 5), url=url, key=key.secret)
    assert sent.accepted == 5


async def test_an_ingest_that_stays_away_is_told(url: str) -> None:
    with pytest.raises(NotTaken, match="takes nothing"):
        await send([{"id": "1"}], url=url, key="k", patience_s=0.5)


async def test_a_refused_key_and_rejected_items_are_told(
    ingest_settings: Settings, engine: AsyncEngine, vault: Vault, url: str
) -> None:
    key = await write_key(engine, vault, source="demo")
    async with ingest(ingest_settings):
        sent = await send([{"channel": "fax", "type": "sent"}], url=url, key=key.secret)
        assert (sent.accepted, sent.rejected) == (0, 1)
        assert "unknown_channel" in sent.reasons[0]
        with pytest.raises(NotTaken, match="refuses the key"):
            await send([{"id": "1"}], url=url, key="tw_w_0_nobody")


async def test_a_pace_is_kept(ingest_settings: Settings, engine: AsyncEngine, vault: Vault, url: str) -> None:
    key = await write_key(engine, vault, source="demo")
    async with ingest(ingest_settings):
        began = monotonic()
        sent = await send(islice(simulate(10, 1, START), 60), url=url, key=key.secret, rate=40)
        assert sent.accepted == 60
        assert 1.2 < monotonic() - began < 5
