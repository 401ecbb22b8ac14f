"""Fixtures that any test may ask for: a migrated database of its own, and what opens on it."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer, test_server, test_settings
from tests.support.kafka import GIVEN, Broker, start_broker
from tierwise.db.engine import open_engine
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """The developer's own settings stay out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TIERWISE_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="tierwise-test-"))
    path.chmod(0o711)  # where we are root the server runs as another user
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres(short_dir: Path) -> AsyncIterator[TestServer]:
    """The PostgreSQL that all tests share, with a migrated template."""
    async with test_server(short_dir) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker | None]:
    """The broker that all tests share; None when one was given."""
    if GIVEN:
        yield None
        return
    broker = start_broker(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


@pytest.fixture
async def database(postgres: TestServer) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test's own, with keyring, rulebook and topics."""
    async with postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def empty_database(postgres: TestServer) -> AsyncIterator[str]:
    """The DSN of a database that was never migrated."""
    async with postgres.database(template=None) as dsn:
        yield dsn


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    """Of a migrated database of this test's own and the embedded stream."""
    return test_settings(database_url=database, data_dir=tmp_path)


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    async with open_engine(settings) as engine:
        yield engine


@pytest.fixture
async def vault(engine: AsyncEngine, settings: Settings) -> Vault:
    return await open_vault(engine, settings)
