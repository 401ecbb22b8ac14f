"""`tierwise rulebook publish | rollback | list | simulate` as they are typed."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.command import Done, tierwise
from tests.support.product import Product, history
from tests.support.releases import OTHER_SIGNALS, STRICTER, all_is_well, on_rulebooks, rulebook
from tierwise.db.rulebooks import Rulebooks
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.releaser import Releaser


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(*history(random.Random(5), customers=30, interactions=200))
        await product.score()
        yield product


async def run(product: Product, document: str | None, *arguments: str) -> Done:
    """A command of `tierwise rulebook`; FILE among the arguments stands for the document's."""
    path = Path(product.settings.data_dir) / "rulebook.yaml"
    if document is not None:
        await asyncio.to_thread(path.write_text, document, encoding="utf-8")
    named = (str(path) if argument == "FILE" else argument for argument in arguments)
    return await tierwise(product.settings, "rulebook", *named)


async def listed(product: Product) -> list[dict[str, Any]]:
    releases: list[dict[str, Any]] = json.loads((await run(product, None, "list", "--json")).stdout)
    return releases


async def test_publishing_says_what_it_will_be_and_waits_until_everyone_is_on_it(product: Product) -> None:
    releaser = Releaser(product.engine, product.vault, Rulebooks(), ScoringMetrics(CollectorRegistry()))
    scoring = asyncio.create_task(releaser.run())
    try:
        done = await run(product, STRICTER, "publish", "FILE", "--yes")
    finally:
        scoring.cancel()
    everyone = sum((await on_rulebooks(product.engine)).values())
    assert (done.status, done.stdout) == (0, "Number 2, version stricter, is in force; every customer is on it.\n")
    assert f"stricter in place of 2026-11: {everyone} customers will be classified again." in done.stderr
    await all_is_well(product, 2)


async def test_releases_are_listed_with_who_is_on_them(product: Product) -> None:
    published = await run(product, OTHER_SIGNALS, "publish", "FILE", "--no-wait", "--quiet", "--json")
    assert "folded again from their interactions" in published.stderr
    assert json.loads(published.stdout)["number"] == 2
    newest, first = await listed(product)
    assert newest.items() >= {"number": 2, "quiet": True, "customers": 0, "in_force": True, "released": None}.items()
    assert first.items() >= {"number": 1, "version": "2026-11", "quiet": False, "in_force": False}.items()
    assert first["customers"] == sum((await on_rulebooks(product.engine)).values())
    assert "other signals" in (await run(product, None, "list")).stdout


async def test_rolling_back_is_another_release(product: Product) -> None:
    await run(product, STRICTER, "publish", "FILE", "--no-wait")
    done = await run(product, None, "rollback", "--no-wait")
    assert done.stdout == "Number 3, version 2026-11, is in force; customers follow.\n"
    assert [release["version"] for release in await listed(product)] == ["2026-11", "stricter", "2026-11"]
    unknown = await run(product, None, "rollback", "2019", "--no-wait")
    assert (unknown.status, unknown.stdout) == (1, "")
    assert "there is no rulebook of version 2019; there are 2026-11, stricter" in unknown.stderr


@pytest.mark.parametrize("command", ["publish", "simulate"])
async def test_a_wrong_rulebook_is_refused_with_all_its_errors(product: Product, command: str) -> None:
    wrong = rulebook("wrong", ("{A: 65, B: 45", "{A: 45, B: 65"), ("weight: 0.35", "weight: 0.45"))
    done = await run(product, wrong, command, "FILE")
    assert (done.status, done.stdout) == (1, "")
    assert "tiers.cuts" in done.stderr
    assert "2 errors" in done.stderr
    assert len(await listed(product)) == 1


async def test_a_version_that_is_taken_is_refused(product: Product) -> None:
    taken = rulebook("2026-11", ("{A: 65", "{A: 66"))
    done = await run(product, taken, "publish", "FILE", "--no-wait")
    assert (done.status, len(await listed(product))) == (1, 1)
    assert "give it a `version` of its own" in done.stderr


async def test_a_simulation_shows_who_moves_where(product: Product) -> None:
    document = json.loads((await run(product, STRICTER, "simulate", "FILE", "--json", "--limit", "3")).stdout)
    everyone = sum((await on_rulebooks(product.engine)).values())
    for aspect in ("tier", "intent", "lifecycle"):
        assert sum(move["customers"] for move in document["moves"][aspect]) == everyone == document["customers"]
    assert document["changed"] == document["changes"]["tier"] > 0
    assert len(document["movers"]) == 3
    assert document["movers"][0]["tier"]["from"] < document["movers"][0]["tier"]["to"]
    shown = await run(product, None, "simulate", "FILE")
    assert (shown.status, shown.stderr) == (0, "")
    assert "Tiers: rows now, columns then" in shown.stdout
    assert "Dormant 沉睡客户" in shown.stdout
    again = await run(product, OTHER_SIGNALS, "simulate", "FILE")
    assert "folded again" in again.stderr
    assert "Those who move most" in again.stdout
