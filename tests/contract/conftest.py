"""The two logs that the suite runs on, each with what a test may do to it from outside."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from pydantic import SecretStr
from sqlalchemy import text

from tests.support.database import TestServer, test_settings
from tests.support.kafka import GIVEN, Broker
from tests.support.proxy import Proxy
from tierwise.db.engine import engine_of
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream


class Log(Protocol):
    """A running event log, seen from outside."""

    settings: Settings

    async def open(self) -> Stream:
        """A connection to it, closed after the test."""

    async def delete_topic(self, topic: str) -> None: ...

    async def trim(self, topic: str, partition: int, position: int) -> None:
        """Delete the records before `position`."""

    async def go_away(self) -> None: ...

    async def come_back(self) -> None: ...


class PostgresLog:
    """Reached through a proxy, so that it can go away."""

    def __init__(self, dsn: str, data_dir: Path, stack: AsyncExitStack) -> None:
        sockets = parse_qs(urlsplit(dsn).query)["host"][0]
        self._direct, self._stack = engine_of(dsn), stack
        self._proxy = Proxy(lambda: asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432"))
        self._data_dir, self._name = data_dir, urlsplit(dsn).path
        stack.push_async_callback(self._direct.dispose)

    async def start(self) -> None:
        await self.come_back()
        self._stack.push_async_callback(self._proxy.go_away)
        url = f"postgresql://tierwise@127.0.0.1:{self._proxy.port}{self._name}"
        self.settings = test_settings(database_url=url, data_dir=self._data_dir)

    async def open(self) -> Stream:
        engine = engine_of(_url(self.settings))
        self._stack.push_async_callback(engine.dispose)
        vault = await open_vault(self._direct, self.settings)
        return await self._stack.enter_async_context(open_stream(self.settings, engine, vault))

    async def delete_topic(self, topic: str) -> None:
        async with self._direct.begin() as connection:
            await connection.execute(text("DELETE FROM stream_topics WHERE name = :name"), {"name": topic})

    async def trim(self, topic: str, partition: int, position: int) -> None:
        await (await self.open()).trim(topic, {partition: position})

    async def go_away(self) -> None:
        await self._proxy.go_away()

    async def come_back(self) -> None:
        await self._proxy.start()


class KafkaLog:
    def __init__(self, settings: Settings, broker: Broker | None, stack: AsyncExitStack) -> None:
        self.settings, self._broker, self._stack = settings, broker, stack

    async def open(self) -> Stream:
        unused = engine_of("postgresql://nowhere")
        vault = None  # Kafka's records are not sealed by us
        stream = open_stream(self.settings, unused, vault)  # type: ignore[arg-type]
        return await self._stack.enter_async_context(stream)

    async def delete_topic(self, topic: str) -> None:
        async with self._administration() as admin:
            await admin.delete_topics([topic])

    async def trim(self, topic: str, partition: int, position: int) -> None:
        async with self._administration() as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(position)})

    async def go_away(self) -> None:
        if self._broker is None:
            pytest.skip("the broker that was given is not ours to stop")
        await asyncio.to_thread(self._broker.kill)

    async def come_back(self) -> None:
        if self._broker is not None:
            await asyncio.to_thread(self._broker.start)

    @asynccontextmanager
    async def _administration(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


@pytest.fixture(scope="session")
async def stream_database(postgres: TestServer) -> AsyncIterator[str]:
    """One for all: each test has topics of its own."""
    async with postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def postgres_log(stream_database: str, tmp_path: Path) -> AsyncIterator[PostgresLog]:
    async with AsyncExitStack() as stack:
        log = PostgresLog(stream_database, tmp_path, stack)
        await log.start()
        yield log


@pytest.fixture
async def kafka_log(kafka: Broker | None, tmp_path: Path) -> AsyncIterator[KafkaLog]:
    bootstrap_servers = kafka.bootstrap_servers if kafka is not None else GIVEN
    settings = test_settings(database_url=None, data_dir=tmp_path)
    settings = settings.model_copy(update={"kafka_bootstrap_servers": bootstrap_servers})
    async with AsyncExitStack() as stack:
        yield KafkaLog(settings, kafka, stack)


@pytest.fixture(params=["postgres", "kafka"])
def log(request: pytest.FixtureRequest) -> Log:
    found: Log = request.getfixturevalue(f"{request.param}_log")
    return found


@pytest.fixture
async def stream(log: Log) -> Stream:
    return await log.open()


@pytest.fixture
async def topic(stream: Stream) -> str:
    """A topic of four partitions that nobody else uses."""
    name = f"interactions-{secrets.token_hex(4)}"
    await stream.create_topics({name: 4})
    return name


def _url(settings: Settings) -> str:
    assert isinstance(settings.database_url, SecretStr)
    return settings.database_url.get_secret_value()
