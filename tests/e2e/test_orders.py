"""A file of orders: the same result however it is sent, in whatever order, by however many workers, one killed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.importing import IMPORT, counted, import_while_a_worker_dies
from tests.support.orders import Orders, business_day, made_orders
from tests.support.published import Event, published_on_kafka, sequences, unrepeated
from tests.support.services import Deployment, View, comparable, deployed, spent, until
from tierwise.db.tables import customers, dead_letters


class Imported(NamedTuple):
    """`views`: the export after `orders` came once, in their order, to one worker on the embedded stream."""

    orders: Orders
    deployment: Deployment
    views: list[View]


@pytest.fixture(scope="module")
async def imported(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Imported]:
    directory = tmp_path_factory.mktemp("orders")
    orders = made_orders(await business_day() - timedelta(days=1))
    async with postgres.database() as dsn, deployed(directory, dsn) as deployment:
        await deployment.scoring(1)
        await deployment.succeed("import", str(orders.write(directory / "orders.txt")), *IMPORT)
        yield Imported(orders, deployment, await deployment.export())


def test_every_order_counts_to_the_cent(imported: Imported) -> None:
    orders, _, views = imported
    assert orders.repeated > 10  # equal lines are orders of their own
    assert len(views) == orders.customers
    assert spent(views) == orders.total
    assert sum(view["interactions"] for view in views) == len(orders.lines)
    assert len({(view["tier"]["grade"], view["lifecycle"]["stage"]) for view in views}) > 4


async def test_the_same_file_again_changes_nothing(imported: Imported) -> None:
    _, deployment, views = imported
    await deployment.succeed("import", str(deployment.directory / "orders.txt"), *IMPORT)
    assert await deployment.export() == views


async def test_shuffled_in_other_batches_by_three_workers_it_is_the_same(
    imported: Imported, embedded: Deployment
) -> None:
    await embedded.scoring(3, scoring_batch_max=97)
    file = imported.orders.shuffled(2).write(embedded.directory / "orders.txt")
    await embedded.succeed("import", str(file), *IMPORT, "--batch-size", "331")
    assert comparable(await embedded.export()) == comparable(imported.views)


async def test_with_a_worker_killed_in_the_middle_it_is_the_same_on_kafka(
    imported: Imported, on_kafka: Deployment, engine: AsyncEngine
) -> None:
    orders = imported.orders.shuffled(3)
    await import_while_a_worker_dies(on_kafka, engine, orders, scoring_batch_max=20)
    found = await on_kafka.export()
    assert comparable(found) == comparable(imported.views)
    assert sum(view["interactions"] for view in found) == len(orders.lines)
    assert await counted(engine, select(func.count()).select_from(dead_letters)) == 0

    assert on_kafka.bootstrap_servers is not None
    events = await _all_published(on_kafka.bootstrap_servers, engine)
    for numbers in sequences(unrepeated(events)).values():
        assert numbers == list(range(1, len(numbers) + 1))
    for topic in {event.topic for event in events}:
        in_order = [event for event in unrepeated(events) if event.topic == topic]
        assert _by_customer(in_order) == sequences(in_order)


async def _all_published(bootstrap_servers: str, engine: AsyncEngine) -> list[Event]:
    changes = await counted(engine, select(func.sum(customers.c.sequence)))
    events: list[Event] = []

    async def all_there() -> bool:
        nonlocal events
        events = await published_on_kafka(bootstrap_servers)
        return len(unrepeated(events)) >= changes

    await until(all_there, within_s=30, told=lambda: f"{len(events)} of {changes}")
    return events


def _by_customer(events: list[Event]) -> dict[str, list[int]]:
    """Sequences in the order in which they stand."""
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(event.customer, []).append(event.sequence)
    return found
