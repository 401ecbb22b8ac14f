"""Workers that hang for longer than their group waits for them, rebalances every two seconds, partitions added live."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.hanging import hang_and_wake, log_of
from tests.support.importing import counted
from tests.support.product import history, page_view
from tests.support.published import published_in_tables
from tests.support.rebalances import append_slowly, come_and_go
from tests.support.sequential import sequential, until_scored
from tests.support.services import Deployment, comparable, until
from tierwise.db.tables import changes, stream_positions
from tierwise.security.personal import Vault
from tierwise.stream.topics import INTERACTIONS, TIER_CHANGES

HISTORY = history(random.Random(6), customers=60, interactions=3_000)


@pytest.fixture(scope="module")
async def expected(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return await sequential(postgres, tmp_path_factory.mktemp("sequential"), HISTORY)


async def test_a_worker_that_hangs_past_its_session_is_taken_over_from_and_fails_when_it_wakes(
    deployment: Deployment, engine: AsyncEngine, vault: Vault, expected: list[bytes]
) -> None:
    hung = await hang_and_wake(deployment, engine, vault, HISTORY)
    assert "Traceback" not in hung.said()
    assert comparable(await deployment.export()) == expected


async def test_rebalances_every_two_seconds_under_load(
    deployment: Deployment, engine: AsyncEngine, vault: Vault, expected: list[bytes]
) -> None:
    async with log_of(deployment, engine, vault) as log:
        await come_and_go(log, HISTORY, every_s=2.0, times=20)
    assert comparable(await deployment.export()) == expected


async def test_partitions_that_are_added_live_are_scored(
    on_kafka: Deployment, engine: AsyncEngine, vault: Vault, expected: list[bytes]
) -> None:
    await on_kafka.scoring(2)
    admin = AIOKafkaAdminClient(bootstrap_servers=on_kafka.bootstrap_servers)
    async with log_of(on_kafka, engine, vault) as log:
        appending = asyncio.create_task(append_slowly(log, HISTORY[:1_500], over_s=20))
        await asyncio.sleep(2)
        await admin.start()
        await admin.create_partitions({INTERACTIONS: NewPartitions(7)})
        await admin.close()
        await appending
    async with log_of(on_kafka, engine, vault) as log:  # another producer, whose keys go to seven partitions
        await append_slowly(log, HISTORY[1_500:], over_s=5)
    await until_scored(on_kafka, engine, len(HISTORY), within_s=60)
    assert comparable(await on_kafka.export()) == expected
    moved = select(func.count()).select_from(stream_positions).where(stream_positions.c.position > 0)
    assert await counted(engine, moved) == 7
    assert "Traceback" not in on_kafka.said()


async def test_what_one_that_hangs_was_about_to_publish_is_published_by_another(
    embedded: Deployment, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    (hung,) = await embedded.scoring(1)
    holding = text(
        "SELECT 1 FROM stream_heads WHERE topic = (SELECT number FROM stream_topics WHERE name = :name) FOR UPDATE"
    )
    async with log_of(embedded, engine, vault) as log:
        async with engine.connect() as holder:
            # The relay waits for this inside its append, its lock on the shard of customers held, and is stopped there.
            await holder.execute(holding, {"name": TIER_CHANGES})
            await log.append(*(page_view(number, identifiers={"user_id": f"u{number}"}) for number in range(40)))
            await until_scored(embedded, engine, 40)
            await asyncio.sleep(1)
            os.kill(hung.pid, signal.SIGSTOP)
        try:
            await embedded.start("scoring")
            published = await counted(engine, select(func.count()).select_from(changes))

            async def all_published() -> bool:
                return len({event.id for event in await published_in_tables(embedded.dsn, tmp_path)}) >= published

            await until(all_published, within_s=60, told=embedded.said, every_s=2)
        finally:
            os.kill(hung.pid, signal.SIGCONT)
