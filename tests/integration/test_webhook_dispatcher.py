"""The process that sends webhooks: every subscription at its own pace, by one process at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.deliveries import Answer, Endpoint, Received, Webhooks, endpoint, webhooks
from tests.support.live import record
from tests.support.services import until
from tierwise.db.tables import deliveries
from tierwise.security.personal import Vault
from tierwise.webhooks.log import add_test
from tierwise_scoring.webhooks.dispatcher import Dispatcher
from tierwise_scoring.webhooks.metrics import WebhookMetrics


@pytest.fixture
async def hooks(engine: AsyncEngine, vault: Vault) -> AsyncIterator[Webhooks]:
    async with webhooks(engine, vault) as hooks:
        yield hooks


@pytest.fixture
async def receiver() -> AsyncIterator[Endpoint]:
    async with endpoint() as one:
        yield one


@asynccontextmanager
async def dispatching(hooks: Webhooks) -> AsyncIterator[asyncio.Task[None]]:
    dispatcher = Dispatcher(hooks.post, engine=hooks.engine, keep=timedelta(days=7))
    running = asyncio.create_task(dispatcher.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def happened(hooks: Webhooks, customers: range, sequence: int = 1) -> None:
    async with hooks.engine.begin() as connection:
        for customer in customers:
            await record(connection, customer, sequence)


async def test_a_slow_endpoint_delays_no_other(hooks: Webhooks, receiver: Endpoint) -> None:
    async with endpoint() as slow, endpoint() as dead:

        async def sleep(_: Received) -> Answer:
            await asyncio.sleep(60)
            return Answer()

        slow.answer = sleep
        dead.says(500)
        for url in (slow.url, dead.url, receiver.url):
            await hooks.subscribe(url)
        async with dispatching(hooks):
            await happened(hooks, range(100))
            started = asyncio.get_running_loop().time()
            await receiver.until(100)
            assert asyncio.get_running_loop().time() - started < 4
            assert len(slow.received) == 16  # at once, no more


async def test_changes_are_sent_as_they_are_committed(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    async with dispatching(hooks):
        await happened(hooks, range(1))
        await receiver.until(1)
        for sequence in range(2, 6):
            await happened(hooks, range(3), sequence)
        await receiver.until(13)
    sequences = [one.event["data"]["sequence"] for one in receiver.received]
    of_each = [[s for one, s in zip(receiver.ids, sequences, strict=True) if one.split(":")[0] == customer]
               for customer in {one.split(":")[0] for one in receiver.ids}]  # fmt: skip
    assert all(each == sorted(each) for each in of_each)
    assert {one["state"] for one in await hooks.log(subscription)} == {"delivered"}


async def test_of_two_processes_one_sends_and_the_other_takes_over(hooks: Webhooks, receiver: Endpoint) -> None:
    await hooks.subscribe(receiver.url)
    async with dispatching(hooks):
        async with dispatching(hooks):
            await happened(hooks, range(20))
            await receiver.until(20)
        await happened(hooks, range(20), 2)
        await receiver.until(40)
    assert len(set(receiver.ids)) == len(receiver.ids) == 40


async def test_sending_goes_on_when_its_connection_was_cut(hooks: Webhooks, receiver: Endpoint) -> None:
    await hooks.subscribe(receiver.url)
    async with dispatching(hooks):
        await happened(hooks, range(5))
        await receiver.until(5)
        async with hooks.engine.begin() as connection:
            await connection.execute(
                text(
                    """SELECT pg_terminate_backend(pid) FROM pg_locks
                       WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database
                       WHERE datname = current_database()) AND pid <> pg_backend_pid()"""
                )
            )
        await happened(hooks, range(5), 2)
        await receiver.until(10)


async def test_a_subscription_made_or_disabled_meanwhile_is_followed(hooks: Webhooks, receiver: Endpoint) -> None:
    async with dispatching(hooks):
        subscription, _ = await hooks.subscribe(receiver.url)
        await happened(hooks, range(1))
        await receiver.until(1)
        await hooks.change(subscription, enabled=False)
        await happened(hooks, range(1), 2)
        async with hooks.engine.begin() as connection:
            await add_test(connection, subscription.id)
        assert (await receiver.until(2))[1].id.startswith("test_")
        await hooks.change(subscription, enabled=True)
        await receiver.until(3)
    assert [one.endswith(end) for one, end in zip(receiver.ids, (":1", "", ":2"), strict=True)] == [True] * 3


async def test_the_backlog_is_measured_and_the_log_forgets(hooks: Webhooks, receiver: Endpoint) -> None:
    registry = CollectorRegistry()
    hooks.post = replace(hooks.post, metrics=WebhookMetrics(registry))
    subscription, _ = await hooks.subscribe(receiver.url)
    receiver.says(204, 500)
    await happened(hooks, range(2))
    await hooks.send(subscription)
    old = update(deliveries).where(deliveries.c.state == "delivered")
    async with hooks.engine.begin() as connection:
        await connection.execute(old.values(finished_at=text("now() - interval '8 days'")))

    async def told() -> bool:
        shown = generate_latest(registry).decode()
        async with hooks.engine.begin() as connection:
            left = (await connection.execute(select(deliveries.c.state))).scalars().all()
        return f'tierwise_webhook_backlog{{subscription="{subscription.id}"}} 1.0' in shown and list(left) == [
            "pending"
        ]

    async with dispatching(hooks):
        await until(told, within_s=10)
    assert 'tierwise_webhook_attempts_total{outcome="to_be_repeated"} 1.0' in generate_latest(registry).decode()
    assert "tierwise_webhook_backlog{" not in generate_latest(registry).decode()
