"""Deployments of real processes: on the embedded stream, and on the Apache Kafka that the tests share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.database import TestServer
from tests.support.kafka import GIVEN
from tests.support.published import own_topics
from tests.support.served import Served, served
from tests.support.services import Deployment, deployed


@pytest.fixture
def bootstrap_servers(request: pytest.FixtureRequest) -> str:
    """Of the broker that all tests share, or of the one that was given."""
    broker = request.getfixturevalue("kafka")
    return str(GIVEN if broker is None else broker.bootstrap_servers)


@pytest.fixture
async def embedded(database: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path, database) as deployment:
        yield deployment


@pytest.fixture
async def on_kafka(bootstrap_servers: str, database: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(own_topics(bootstrap_servers))
        yield await stack.enter_async_context(deployed(tmp_path, database, bootstrap_servers))


@pytest.fixture(params=["embedded", "on_kafka"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    found: Deployment = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
async def product(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """That all tests of clients share."""
    async with postgres.database() as dsn, served(tmp_path_factory.mktemp("served"), dsn) as running:
        yield running
