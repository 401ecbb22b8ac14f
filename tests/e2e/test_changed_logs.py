"""Logs that are not what was scored: another stream, a topic made anew, records gone before they were scored. Scoring
stops with an error that names the choices, has skipped nothing, and goes on when an operator has chosen."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.hanging import log_of
from tests.support.importing import counted
from tests.support.product import Product, page_view
from tests.support.published import own_topics
from tests.support.scoring import worker
from tests.support.services import Deployment, deployed
from tierwise.db.tables import interactions, stream_positions
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import Vault
from tierwise.stream.port import PositionError, PositionLost
from tierwise.stream.topics import INTERACTIONS
from tierwise_scoring.positions import LogReplaced

PATIENCE_S, ENDED_WITHIN_S = 30.0, 90.0


async def test_another_stream_than_the_one_that_was_scored_stops_scoring(
    embedded: Deployment, bootstrap_servers: str, engine: AsyncEngine, vault: Vault
) -> None:
    async with log_of(embedded, engine, vault) as log:
        await log.append(*_visits(0, 20))
        await log.score()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(own_topics(bootstrap_servers))
        other = await stack.enter_async_context(deployed(embedded.directory, embedded.dsn, bootstrap_servers))
        async with log_of(other, engine, vault) as log:
            await log.append(*_visits(20, 30))
        before = await _positions(engine)
        done = await asyncio.wait_for(other.run("scoring"), ENDED_WITHIN_S)
        assert done.status == 1
        assert "stream changed between embedded and Kafka" in done.stderr
        assert "tierwise scoring --reset-positions earliest" in done.stderr
        assert "Traceback" not in done.stderr
        assert await _positions(engine) == before
        assert await _stored(engine) == 20


async def test_a_topic_made_anew_stops_scoring(deployment: Deployment, engine: AsyncEngine, vault: Vault) -> None:
    async with log_of(deployment, engine, vault) as log:
        await log.append(*_visits(0, 20))
        await log.score()
        await _delete_topic(deployment, engine)
        async with asyncio.timeout(PATIENCE_S):
            while await log.stream.partitions(INTERACTIONS):  # noqa: ASYNC110  (the cluster that we wait for)
                await asyncio.sleep(0.05)
        await log.stream.create_topics({INTERACTIONS: 4})
    async with log_of(deployment, engine, vault) as log:
        await log.append(*_visits(20, 30))
        await _stops(log, LogReplaced)
        assert await _stored(engine) == 20
        await _score_from_the_start(log)
        assert await _stored(engine) == 30


async def test_records_that_were_gone_before_they_were_scored_stop_scoring(
    deployment: Deployment, engine: AsyncEngine, vault: Vault
) -> None:
    async with log_of(deployment, engine, vault) as log:
        await log.append(*_visits(0, 20))
        await log.score()
        for visit in _visits(20, 60):
            await log.append(visit)  # each by itself: the embedded stream lets go of whole appends
        ends = {one.index: end for one, end in (await log.stream.ends(INTERACTIONS)).items()}
        # Of every partition all but the last record: as the retention does it, while nobody scores.
        await _trim(deployment, log, {index: end - 1 for index, end in ends.items()})
        before = await _positions(engine)
        await _stops(log, PositionLost)
        assert await _positions(engine) == before
        assert await _stored(engine) == 20
        await _score_from_the_start(log)
        assert await _stored(engine) == 20 + len(ends)


async def _stops(log: Product, error: type[PositionError]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(error, match=r"Choose: .*--reset-positions earliest"):
            await worker(log.engine, log.stream, log.vault, log.settings).run()


async def _score_from_the_start(log: Product) -> None:
    """As `scoring --reset-positions earliest`."""
    chosen = worker(log.engine, log.stream, log.vault, log.settings)
    running = asyncio.create_task(chosen.run(reset=True))
    async with asyncio.timeout(PATIENCE_S):
        while not await _caught_up(log):
            assert not running.done(), running.exception()
            await asyncio.sleep(0.05)
    chosen.stop()
    await running


async def _caught_up(log: Product) -> bool:
    ends = sorted((one.topic_id, one.index, end) for one, end in (await log.stream.ends(INTERACTIONS)).items())
    return await _positions(log.engine) == ends


async def _positions(engine: AsyncEngine) -> Sequence[tuple[str, int, int]]:
    table = stream_positions.c
    async with engine.connect() as connection:
        rows = await connection.execute(select(table.topic_id, table.partition, table.position))
        return sorted((id_, index, position) for id_, index, position in rows)


async def _stored(engine: AsyncEngine) -> int:
    return await counted(engine, select(func.count()).select_from(interactions))


async def _delete_topic(deployment: Deployment, engine: AsyncEngine) -> None:
    if deployment.bootstrap_servers is None:
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM stream_topics WHERE name = :name"), {"name": INTERACTIONS})
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([INTERACTIONS])
    await admin.close()


async def _trim(deployment: Deployment, log: Product, before: dict[int, int]) -> None:
    if deployment.bootstrap_servers is None:
        await log.stream.trim(INTERACTIONS, before)
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.bootstrap_servers)
    await admin.start()
    wanted = {TopicPartition(INTERACTIONS, index): RecordsToDelete(at) for index, at in before.items()}
    await admin.delete_records(wanted)
    await admin.close()


def _visits(start: int, end: int) -> list[Interaction]:
    return [page_view(number, identifiers={"user_id": f"u{number}"}) for number in range(start, end)]
