"""Tiers as shares of the customers, as one types it: publish, simulate, `rulebook cuts`, and classify by them."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.integration.test_cuts import SHARED
from tests.support.command import Done, tierwise
from tests.support.product import Product, history
from tests.support.releases import all_is_well, causes, publish
from tests.support.scoring import views
from tierwise.cli import build
from tierwise.db import cuts
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import customers
from tierwise.domain.rulebook import default_text
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_embedded.simulate.traffic import simulate
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.releaser import Releaser
from tierwise_scoring.taker import Taker

MONTHLY = SHARED.replace("taken: daily", "taken: monthly")


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path) -> AsyncIterator[Product]:
    """Many customers, and a rulebook with shares in the file `shared.yaml`."""
    await asyncio.to_thread((tmp_path / "shared.yaml").write_text, MONTHLY, "utf-8")
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(*history(random.Random(5), customers=40, interactions=250))
        await product.score()
        yield product


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    """Half a year of what simulated customers did."""
    now = datetime.now(UTC)
    items = takewhile(lambda item: datetime.fromisoformat(item["time"]) < now, simulate(40, 11, now))
    file = tmp_path / "traffic.ndjson"
    file.write_bytes(msgspec.json.Encoder().encode_lines(items))
    return file


async def run(product: Product, *arguments: str) -> Done:
    return await tierwise(product.settings, "rulebook", *arguments)


async def released(product: Product) -> None:
    await Releaser(product.engine, product.vault, Rulebooks(), ScoringMetrics(CollectorRegistry())).release()


def classified(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(build(), ["classify", *arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_publishing_shares_takes_them_at_once(product: Product) -> None:
    before = await causes(product.engine)
    simulated = json.loads((await run(product, "simulate", "shared.yaml", "--json", "--limit", "0")).stdout)
    done = await run(product, "publish", "shared.yaml", "--no-wait", "--json")
    assert done.status == 0, done.stderr
    async with product.engine.connect() as connection:
        [row] = await cuts.rows(connection)
    assert (row.close + timedelta(days=1)).day == 1
    assert [score / 100 for score in row.scores] == list(simulated["cuts"].values())
    assert row.customers > 10
    await released(product)
    await all_is_well(product, 2)
    after = await causes(product.engine)
    assert after["release"] == simulated["changes"]["tier"]  # nobody is moved by the fixed scores first
    assert after == before | {"release": after["release"]}


async def test_cuts_are_taken_by_hand_too(product: Product) -> None:
    refused = await run(product, "cuts", "--take")
    assert (refused.status, "has no tiers.shares to take" in refused.stderr) == (1, True)
    await publish(product.engine, MONTHLY)
    done = await run(product, "cuts", "--take", "--quiet", "--json")
    assert "Number 1 is in force; customers follow." in done.stderr
    [row] = json.loads(done.stdout)
    assert row.items() >= {"number": 1, "rulebook": "shared", "quiet": True, "in_force": True}.items()
    assert row["scores"].keys() == {"A", "B", "C", "D"}
    await released(product)
    await all_is_well(product, 2)


async def test_a_file_classified_by_cuts_gives_what_is_served_by_them(
    settings: Settings, engine: AsyncEngine, vault: Vault, traffic: Path, tmp_path: Path
) -> None:
    assert (await tierwise(settings, "import", str(traffic), "--source", "shop", "--json")).status == 0
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.score()
        await publish(engine, SHARED)
        await Taker(engine, stream, vault, Rulebooks()).take_due(datetime.now(UTC) + timedelta(days=1))
        await released(product)
        printed = (await run(product, "cuts", "--json")).stdout
        await asyncio.to_thread((tmp_path / "cuts.json").write_text, printed)
    await asyncio.to_thread((tmp_path / "shared.yaml").write_text, SHARED, "utf-8")
    async with engine.connect() as connection:
        moment = (await connection.execute(select(func.max(customers.c.classified_at)))).scalar_one()
    served = await views(engine, vault)
    by = ("--rulebook", str(tmp_path / "shared.yaml"), "--cuts", str(tmp_path / "cuts.json"))
    rows = classified(str(traffic), "--source", "shop", "--as-of", moment.isoformat(), *by)
    assert {view["cuts"] for view in served} == {1}
    assert sorted(map(tier_of, rows)) == sorted(map(tier_of, served))


def tier_of(view: dict[str, Any]) -> tuple[Any, ...]:
    return str(view["identifiers"]), view["tier"]["grade"], view["tier"]["score"], view["cuts"]


async def test_where_nobody_was_there_at_the_close_the_fixed_scores_hold(
    settings: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    await asyncio.to_thread((tmp_path / "shared.yaml").write_text, MONTHLY, "utf-8")
    done = await tierwise(settings, "rulebook", "publish", "shared.yaml", "--no-wait")
    assert done.status == 0
    assert "there is nobody to take shares of. The fixed scores hold until" in done.stderr
    async with engine.connect() as connection:
        assert (await Rulebooks().in_force(connection)).named == (2, None)


def test_without_cuts_a_file_gives_its_own_at_each_time(tmp_path: Path) -> None:
    items = [
        {"id": f"{who}-{month}", "time": f"2026-{month:02}-10T10:00:00+08:00", "channel": "order", "type": "purchase",
         "identifiers": {"user_id": f"u{who:02}"}, "properties": {"amount": f"{amount}.00"}}
        for month, factor in ((6, 100), (7, 300))
        for who in range(20)
        for amount in [factor * (who + 1)]
    ]  # fmt: skip
    file, rules = tmp_path / "orders.ndjson", tmp_path / "shared.yaml"
    file.write_bytes(msgspec.json.Encoder().encode_lines(items))
    rules.write_text(MONTHLY, "utf-8")
    rows = classified(str(file), "--as-of", "2026-06-30", "--as-of", "2026-07-31", "--rulebook", str(rules))
    for day in ("2026-06-30", "2026-07-31"):
        found = [row for row in rows if row["as_of"].startswith(day)]
        grades = Counter(row["tier"]["grade"] for row in found)
        assert (len(found), grades["A"] <= 2, grades["A"] + grades["B"] <= 6) == (20, True, True)
        best = max(found, key=lambda row: row["tier"]["score"])
        assert best["identifiers"][0]["value"] == "u19"
        assert best["cuts"] is None


WRONG = [
    ("{scores: {A: 60}}", "scores are needed of A, B, C, D, and of no other tiers"),
    ("{scores: {A: 60, B: 70, C: 3, D: 1}}", "from the highest tier down, between 0 and 100"),
    ("{scores: {A: 600, B: 70, C: 3, D: 1}}", "from the highest tier down, between 0 and 100"),
    ("{rulebook: other, scores: {A: 60}}", "taken under version other, but the rulebook is 2026-11"),
    ("[{rulebook: other, scores: {A: 60}}]", "none of its cuts were taken under version 2026-11"),
    ("[]", "none of its cuts were taken under version 2026-11"),
    ("{number: 3}", "Object missing required field `scores`"),
    ("{scores: [", "is not JSON or YAML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_of_cuts_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file, given, rules = tmp_path / "orders.ndjson", tmp_path / "cuts.yaml", tmp_path / "rules.yaml"
    file.write_bytes(b"")
    given.write_text(text)
    rules.write_text(default_text(), "utf-8")
    arguments = ["classify", str(file), "--as-of", "2026-06-30", "--rulebook", str(rules), "--cuts", str(given)]
    result = CliRunner().invoke(build(), arguments)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
