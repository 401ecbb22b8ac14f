"""Workers that hang and wake, that believe they own the same partitions, that come and go: each interaction counts
once, and everyone is as if one worker had taken them in order."""

import asyncio
import random
import secrets
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.hanging import hang_and_wake, log_of
from tests.support.product import history
from tests.support.rebalances import append_slowly, come_and_go
from tests.support.scoring import worker
from tests.support.sequential import sequential, until_scored
from tests.support.services import Deployment, comparable
from tierwise.security.personal import Vault
from tierwise.stream.port import Reader, Stream

HISTORY = history(random.Random(5), customers=40, interactions=600)


@pytest.fixture(scope="module")
async def expected(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return await sequential(postgres, tmp_path_factory.mktemp("sequential"), HISTORY)


async def test_a_worker_that_hangs_in_its_transaction_is_taken_over_from_and_fails_when_it_wakes(
    embedded: Deployment, engine: AsyncEngine, vault: Vault, expected: list[bytes]
) -> None:
    hung = await hang_and_wake(embedded, engine, vault, HISTORY, aged=True)
    assert "Traceback" not in hung.said()
    assert comparable(await embedded.export()) == expected


class EveryReaderAlone:
    """A stream that gives everything to each of its readers."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def reader(self, topic: str, *, group: str, **callbacks: Any) -> Reader:
        return await self._stream.reader(topic, group=f"{group}-{secrets.token_hex(4)}", **callbacks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


async def test_workers_that_are_given_the_same_partitions_count_nothing_twice(
    deployment: Deployment, engine: AsyncEngine, vault: Vault, expected: list[bytes]
) -> None:
    async with log_of(deployment, engine, vault) as log:
        stream = cast(Stream, EveryReaderAlone(log.stream))
        settings = log.settings.model_copy(update={"scoring_batch_max": 30})
        async with asyncio.TaskGroup() as tasks:
            members = [worker(engine, stream, vault, settings) for _ in range(3)]
            for member in members:
                tasks.create_task(member.run())
            await append_slowly(log, HISTORY, over_s=1)
            await until_scored(deployment, engine, len(HISTORY), within_s=60)
            for member in members:
                member.stop()
    assert comparable(await deployment.export()) == expected


async def test_while_workers_come_and_go_everything_is_scored_once(
    embedded: Deployment, engine: AsyncEngine, vault: Vault, expected: list[bytes]
) -> None:
    async with log_of(embedded, engine, vault) as log:
        await come_and_go(log, HISTORY, every_s=0.4, times=8)
    assert comparable(await embedded.export()) == expected
