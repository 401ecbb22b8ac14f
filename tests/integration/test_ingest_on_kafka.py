"""Ingest on Apache Kafka, where database and stream can go away one without the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import test_settings
from tests.support.ingest import appended, serving, write_key
from tests.support.kafka import Broker, start_broker
from tests.support.proxy import Proxy
from tierwise.db.migrate import migrate
from tierwise.security.personal import Vault
from tierwise.settings import Settings

PATH = "/v1/interactions"
VISIT = {"channel": "web", "type": "page_view", "identifiers": {"user_id": "u1"}}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = start_broker(tmp_path / "kafka")
    yield broker
    broker.stop()


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    directory = parse_qs(urlsplit(database).query)["host"][0]
    proxy = Proxy(lambda: asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432"))
    await proxy.start()
    yield proxy
    await proxy.go_away()


@pytest.fixture
async def on_kafka(database: str, proxy: Proxy, broker: Broker, tmp_path: Path, engine: AsyncEngine) -> Settings:
    parts = urlsplit(database)
    dsn = f"postgresql://{parts.username}@127.0.0.1:{proxy.port}{parts.path}"
    settings = test_settings(database_url=dsn, data_dir=tmp_path).model_copy(
        update={"kafka_bootstrap_servers": broker.bootstrap_servers, "ingest_append_timeout_s": 3.0}
    )
    await migrate(settings, engine)
    return settings


async def test_the_database_may_go_away_and_the_broker_may_come_back(
    on_kafka: Settings, proxy: Proxy, broker: Broker, engine: AsyncEngine, vault: Vault
) -> None:
    key = await write_key(engine, vault)
    async with serving(on_kafka, key=key.secret) as client:
        assert (await client.post(PATH, json=[VISIT | {"id": str(n)} for n in range(50)])).status_code == 202

        await proxy.go_away()  # keys are known from before
        assert (await client.post(PATH, json=VISIT | {"id": "without the database"})).status_code == 202
        assert not (await client.get("/readyz")).json()["checks"]["database"]["ready"]
        await proxy.start()

        broker.kill()
        refused = await client.post(PATH, json=VISIT | {"id": "without the broker"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert not (await client.get("/readyz")).json()["checks"]["stream"]["ready"]
        broker.start()
        started = time.monotonic()
        while (await client.post(PATH, json=VISIT | {"id": "after"})).status_code != 202:
            assert time.monotonic() - started < 30
            await asyncio.sleep(0.5)
        assert (await client.get("/readyz")).status_code == 200
    ids = {interaction.id for interaction in await appended(on_kafka, engine, vault)}
    assert ids >= {*map(str, range(50)), "without the database", "after"}
