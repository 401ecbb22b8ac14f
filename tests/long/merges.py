"""Merges in numbers: chains of 50, hundreds at once, and one address that ten thousand customers give."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.merging import chained, chains, gaps, sharing
from tests.support.product import Product
from tests.support.scoring import score
from tests.support.sequential import sequential
from tests.support.services import comparable, deployed
from tierwise.db.tables import customers, rulings
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_scoring.rebuild import Rebuild

WITHIN_S = 300.0


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.mark.parametrize(
    ("given", "batch_max"),
    [
        pytest.param(chains(random.Random(3), people=8, length=50), 5, id="chains of 50"),
        pytest.param(chains(random.Random(4), people=400, length=3), 5, id="many at once"),
        pytest.param(sharing(10_000), 500, id="an address of ten thousand"),
    ],
)
async def test_three_workers_end_with_the_same_people_as_one(
    product: Product, postgres: TestServer, tmp_path: Path, given: Sequence[Interaction], batch_max: int
) -> None:
    hurried = product.settings.model_copy(update={"scoring_batch_max": batch_max})
    await product.append(*given)
    started = monotonic()
    await score(product.engine, product.stream, product.vault, hurried, workers=3, within_s=WITHIN_S)
    print(f"\n{len(given)} interactions by three workers, {batch_max} at once: {monotonic() - started:.1f} s")
    assert await gaps(product.engine) == []
    assert await chained(product.engine) == 0
    dsn = product.settings.database_url
    assert dsn is not None
    async with deployed(tmp_path, dsn.get_secret_value()) as deployment:
        found = comparable(await deployment.export())
    assert found == await sequential(postgres, tmp_path / "sequential", given, within_s=WITHIN_S)


async def test_an_address_of_ten_thousand_is_blocked_by_itself_and_ties_nobody(product: Product) -> None:
    await product.append(*sharing(10_000))
    started = monotonic()
    await score(product.engine, product.stream, product.vault, product.settings, workers=3, within_s=WITHIN_S)
    print(f"\nten thousand by one address: {monotonic() - started:.1f} s")
    async with product.engine.connect() as connection:
        [ruled] = (await connection.execute(select(rulings.c.author, rulings.c.kind))).all()
        alone = select(func.count()).select_from(customers).where(customers.c.merged_into.is_(None))
        assert (await connection.execute(alone)).scalar_one() == 10_000
    assert ruled == ("limit", "email")
    assert await gaps(product.engine) == []
    report = await Rebuild(product.engine, product.vault, repair=False).everyone()
    assert (report.different, report.interactions) == (0, 20_000)
