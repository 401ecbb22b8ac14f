"""Ingest while what it needs is slow or away: it says so, takes nothing that it cannot keep, and goes on after."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import test_settings
from tests.support.ingest import appended, serving, write_key
from tests.support.proxy import Proxy
from tierwise.security.personal import Vault
from tierwise.settings import Settings

PATH = "/v1/interactions"
VISIT = {"id": "v1", "channel": "web", "type": "page_view", "identifiers": {"user_id": "u1"}}


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    """In front of the test's database, which listens on a UNIX socket only."""
    directory = parse_qs(urlsplit(database).query)["host"][0]
    proxy = Proxy(lambda: asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432"))
    await proxy.start()
    yield proxy
    await proxy.go_away()


@pytest.fixture
def through_proxy(database: str, proxy: Proxy, tmp_path: Path) -> Settings:
    parts = urlsplit(database)
    dsn = f"postgresql://{parts.username}@127.0.0.1:{proxy.port}{parts.path}"
    return test_settings(database_url=dsn, data_dir=tmp_path)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 15.0) -> None:
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < within_s
        await asyncio.sleep(0.1)


def answering(client: httpx.AsyncClient, path: str, status: int) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return (await client.get(path)).status_code == status

    return condition


def is_retry_later(response: httpx.Response) -> bool:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code == 503 and int(response.headers["retry-after"]) >= 1


async def test_what_goes_away_while_serving_is_told_and_recovered_from(
    proxy: Proxy, through_proxy: Settings, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    key = await write_key(engine, vault)
    async with serving(through_proxy, key=key.secret) as client:
        assert (await client.post(PATH, json=VISIT)).status_code == 202
        await proxy.go_away()
        # The key is known from before; what is away is the stream, in the same database.
        assert is_retry_later(await client.post(PATH, json=VISIT | {"id": "v2"}))
        not_ready = await client.get("/readyz")
        assert not_ready.status_code == 503
        assert not any(state["ready"] for state in not_ready.json()["checks"].values())
        assert (await client.get("/healthz")).status_code == 200
        await proxy.start()
        await until(answering(client, "/readyz", 200))
        assert (await client.post(PATH, json=VISIT | {"id": "v3"})).status_code == 202
    ids = [interaction.id for interaction in await appended(settings, engine, vault)]
    assert ids in (["v1", "v3"], ["v1", "v2", "v3"])


async def test_it_comes_up_without_its_database_and_finds_it_later(
    proxy: Proxy, through_proxy: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    key = await write_key(engine, vault)
    await proxy.go_away()
    async with serving(through_proxy, key=key.secret) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert is_retry_later(await client.post(PATH, json=VISIT))
        assert (await client.get("/readyz")).status_code == 503
        await proxy.start()
        await until(answering(client, "/readyz", 200))
        assert (await client.post(PATH, json=VISIT)).status_code == 202


async def test_before_the_first_migration_it_says_what_to_do(empty_database: str, tmp_path: Path) -> None:
    async with serving(test_settings(database_url=empty_database, data_dir=tmp_path), key="tw_w_a_b") as client:
        assert is_retry_later(await client.post(PATH, json=VISIT))
        checks = (await client.get("/readyz")).json()["checks"]
        assert checks["database"]["ready"]
        assert "tierwise migrate" in checks["migrations"]["detail"]


async def test_a_wrong_secret_key_stops_it_at_once(settings: Settings) -> None:
    wrong = settings.model_copy(update={"secret_key": (SecretStr("another-secret-key-than-the-one-of-the-database"),)})
    with pytest.raises(Exception, match="TIERWISE_SECRET_KEY is not the one"):
        async with serving(wrong):
            pass


@asynccontextmanager
async def stuck_stream(engine: AsyncEngine) -> AsyncIterator[None]:
    """Someone holds what every append needs."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT * FROM stream_heads FOR UPDATE"))
        yield


async def test_a_stream_that_is_too_slow_is_answered_with_503(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    key = await write_key(engine, vault)
    impatient = settings.model_copy(update={"ingest_append_timeout_s": 0.3})
    async with serving(impatient, key=key.secret) as client, stuck_stream(engine):
        started = time.monotonic()
        assert is_retry_later(await client.post(PATH, json=VISIT))
        assert time.monotonic() - started < 3
        assert 'append_failures_total{reason="timeout"} 1.0' in (await client.get("/metrics")).text


async def test_what_waits_for_the_stream_is_bounded(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    key = await write_key(engine, vault)
    small = settings.model_copy(update={"ingest_append_timeout_s": 2.0, "ingest_pending_bytes_max": 1_000})
    async with serving(small, key=key.secret) as client, stuck_stream(engine):
        answers = await asyncio.gather(*(client.post(PATH, json=VISIT | {"id": f"v{n}"}) for n in range(20)))
        assert all(is_retry_later(answer) for answer in answers)
        metrics = (await client.get("/metrics")).text
        assert 'append_failures_total{reason="backlog"}' in metrics
        assert "tierwise_ingest_pending_bytes 0.0" in metrics
