"""Real inputs, which are not part of the project: TIERWISE_REAL_DATA names the directory that holds them.

CDNOW_master.txt: purchases of 23,570 customers; x_education_lead_scoring.csv: leads and whether they converted.
"""

import csv
import os
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.importing import IMPORT, import_while_a_worker_dies
from tests.support.orders import Orders, read_orders
from tests.support.services import Deployment, View, comparable, deployed, spent

_GIVEN = os.environ.get("TIERWISE_REAL_DATA")  # at import: the suite's environment is cleared of settings
if _GIVEN is None:
    pytest.skip("TIERWISE_REAL_DATA names no directory with the real files", allow_module_level=True)
DIRECTORY = Path(_GIVEN)

CUSTOMERS, PURCHASES, DOLLARS, REPEATED = 23_570, 69_659, Decimal("2500315.63"), 255
_LEVELS = ("low", "medium", "high")


@pytest.fixture(scope="module")
def orders() -> Orders:
    return read_orders(DIRECTORY / "CDNOW_master.txt")


@pytest.fixture(scope="module")
async def views(
    orders: Orders, postgres: TestServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[View]]:
    """The export after the file came twice in its order to one worker."""
    directory = tmp_path_factory.mktemp("real")
    file = orders.write(directory / "orders.txt")
    async with postgres.database() as dsn, deployed(directory, dsn) as deployment:
        await deployment.scoring(1)
        await deployment.succeed("import", str(file), *IMPORT)
        once = await deployment.export()
        await deployment.succeed("import", str(file), *IMPORT)
        assert await deployment.export() == once
        await _rebuild_finds_no_difference(deployment)
        yield once


def test_cdnow_counts_to_the_cent(orders: Orders, views: list[View]) -> None:
    assert (len(orders.lines), orders.repeated) == (PURCHASES, REPEATED)
    assert len(views) == CUSTOMERS
    assert spent(views) == DOLLARS
    assert sum(view["orders"]["count"] for view in views) == PURCHASES
    print(Counter((view["tier"]["grade"], view["lifecycle"]["stage"]) for view in views))


@pytest.mark.parametrize(
    ("seed", "batch_size", "scoring_batch_max", "workers"), [(1, 20_000, 10_000, 1), (2, 777, 500, 3)]
)
async def test_cdnow_is_the_same_shuffled_in_other_batches_by_other_workers(
    orders: Orders,
    views: list[View],
    embedded: Deployment,
    seed: int,
    batch_size: int,
    scoring_batch_max: int,
    workers: int,
) -> None:
    await embedded.scoring(workers, scoring_batch_max=scoring_batch_max)
    file = orders.shuffled(seed).write(embedded.directory / "orders.txt")
    await embedded.succeed("import", str(file), *IMPORT, "--batch-size", str(batch_size))
    assert comparable(await embedded.export()) == comparable(views)


async def test_cdnow_is_the_same_on_kafka_with_a_worker_killed_in_the_middle(
    orders: Orders, views: list[View], on_kafka: Deployment, engine: AsyncEngine
) -> None:
    await import_while_a_worker_dies(on_kafka, engine, orders.shuffled(3), scoring_batch_max=1_000)
    assert comparable(await on_kafka.export()) == comparable(views)
    await _rebuild_finds_no_difference(on_kafka)


async def test_leads_that_converted_have_other_levels_than_those_that_did_not(embedded: Deployment) -> None:
    file = DIRECTORY / "x_education_lead_scoring.csv"
    with file.open(newline="", encoding="utf-8-sig") as lines:
        converted = {row["Prospect ID"]: row["Converted"] == "1" for row in csv.DictReader(lines)}
    await embedded.scoring(1)
    await embedded.succeed("import", str(file), "--source", "x-education", "--mapping", "x-education", "--wait")
    found = {_lead(view): view["intent"]["level"] for view in await embedded.export()}
    assert found.keys() == converted.keys()

    counts = Counter((level, converted[lead]) for lead, level in found.items())
    shares = []
    print(f"\n{'level':8}{'converted':>10}{'not':>8}{'share':>8}")
    for level in _LEVELS:
        yes, no = counts[level, True], counts[level, False]
        shares.append(yes / max(yes + no, 1))
        print(f"{level:8}{yes:10}{no:8}{shares[-1]:8.1%}")
    assert shares == sorted(shares)
    assert shares[-1] > 1.5 * shares[0]
    await _rebuild_finds_no_difference(embedded)


def _lead(view: View) -> str:
    (value,) = (one["value"] for one in view["identifiers"] if one["kind"] == "crm_id")
    return str(value)


async def _rebuild_finds_no_difference(deployment: Deployment) -> None:
    print(await deployment.succeed("rebuild"))
