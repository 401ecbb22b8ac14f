"""Reclassifying everyone after a rulebook was published: two scoring processes, against a bare UPDATE of the rows."""

import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import numpy as np
import yaml
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.load.bench import Result, benchmark
from tests.load.population import settle, store_population
from tests.load.running import own_directory
from tests.support.database import test_settings
from tests.support.services import deployed, until
from tierwise.db import rulebooks
from tierwise.db.embedded import embedded_postgres
from tierwise.db.engine import driver_connection, open_engine
from tierwise.db.migrate import migrate
from tierwise.domain.rulebook import default_text, load

CUSTOMERS: Final = int(os.environ.get("TIERWISE_BENCH_CUSTOMERS", "200000"))
PROCESSES: Final = 2


@benchmark("reclassify")
async def reclassify() -> AsyncIterator[Result]:
    """One in eight changes, then everyone."""
    with own_directory() as path:
        async with embedded_postgres(path / "database") as dsn:
            settings = test_settings(database_url=dsn, data_dir=path)
            async with open_engine(settings) as engine:
                await migrate(settings, engine)
                await store_population(engine, CUSTOMERS)
                bare = await bare_update(engine)
                documents = {"one in eight changes": await one_in_eight(engine), "all change": everyone()}
                async with deployed(path, dsn) as deployment:
                    await deployment.start_all(*["scoring"] * PROCESSES)
                    await until(lambda: is_released(engine), within_s=60)
                    for name, document in documents.items():
                        await settle(engine)
                        seconds, changed = await release(engine, document)
                        yield Result(
                            name=f"reclassify, {name}",
                            value=CUSTOMERS / seconds,
                            unit=f"customers/s ({CUSTOMERS:,}, {changed / CUSTOMERS:.3f} changes each)",
                            goal=1_000_000 / (15 if name.startswith("one") else 40),
                            baseline="bare UPDATE of the rows",
                            baseline_value=bare,
                        )


async def release(engine: AsyncEngine, document: str) -> tuple[float, int]:
    """Seconds from publishing until everyone is on it, and the number of changes."""
    started = time.perf_counter()
    async with engine.begin() as connection:
        number = await rulebooks.publish(connection, document, quiet=True)
    await until(lambda: is_released(engine), within_s=600)
    seconds = time.perf_counter() - started
    async with engine.connect() as connection:
        counted = text("SELECT count(*) FROM changes WHERE rulebook_id = :number")
        changed = (await connection.execute(counted, {"number": number})).scalar_one()
    return seconds, int(changed)


async def is_released(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return (await rulebooks.newest_release(connection)).released_at is not None


async def bare_update(engine: AsyncEngine) -> float:
    """Rows a second that one statement writes as they are."""
    async with engine.begin() as connection:
        started = time.perf_counter()
        await connection.execute(text("UPDATE customers SET result = result"))
    seconds = time.perf_counter() - started
    await settle(engine)
    return CUSTOMERS / seconds


async def one_in_eight(engine: AsyncEngine) -> str:
    """The default rulebook with the lowest cut so high that an eighth of all customers falls below it."""
    rulebook = load(default_text())
    async with engine.connect() as connection:
        tx = await driver_connection(connection)
        rows = await tx.fetch("SELECT result FROM customers ORDER BY id LIMIT 100000")
    result = np.frombuffer(b"".join(row[0] for row in rows), rulebook.result)
    above = np.sort(result["tier_score"][result["tier"] < len(rulebook.tier_names) - 1])
    cut = above[len(result) // 8] / 100
    for name, was in reversed(rulebook.cuts):  # the lowest of which is above it takes the place of those below
        if was / 100 > cut:
            break
        lowest = name
    cuts = {name: was / 100 for name, was in rulebook.cuts if was / 100 > cut} | {lowest: float(cut)}

    def change(document: Any) -> None:
        tiers = document["tiers"]
        tiers["cuts"] = cuts
        strategies = document["strategies"]["tier"]
        document["strategies"]["tier"] = {name: strategies[name] for name in (*cuts, tiers["otherwise"])}

    return other("an eighth", change)


def everyone() -> str:
    """The default rulebook with other names of tiers."""

    def change(document: Any) -> None:
        tiers, strategies, labels = document["tiers"], document["strategies"], document["labels"]
        labels |= {name * 2: labels[name] for name in (*tiers["cuts"], tiers["otherwise"])}
        tiers["cuts"] = {name * 2: cut for name, cut in tiers["cuts"].items()}
        tiers["otherwise"] *= 2
        strategies["tier"] = {name * 2: strategy for name, strategy in strategies["tier"].items()}

    return other("everyone", change)


def other(version: str, change: Callable[[Any], None]) -> str:
    """The default rulebook, changed."""
    document = yaml.safe_load(default_text())
    document["version"] = version
    change(document)
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
