"""Merges that come all at once, crosswise and in chains, by several workers: everyone is as if one worker had taken
them in order."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.merging import chained, chains, gaps, sharing
from tests.support.product import Product
from tests.support.scoring import score
from tests.support.sequential import sequential
from tests.support.services import comparable, deployed
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(chains(random.Random(3), people=1, length=50), id="chains of 50"),
        pytest.param(chains(random.Random(4), people=25, length=3), id="many at once"),
        pytest.param(sharing(40), id="all by one address"),
    ],
)
async def test_three_workers_end_with_the_same_people_as_one(
    product: Product, postgres: TestServer, tmp_path: Path, given: Sequence[Interaction]
) -> None:
    hurried = product.settings.model_copy(update={"scoring_batch_max": 8})
    await product.append(*given)
    await score(product.engine, product.stream, product.vault, hurried, workers=3)
    assert await gaps(product.engine) == []
    assert await chained(product.engine) == 0
    dsn = product.settings.database_url
    assert dsn is not None
    async with deployed(tmp_path, dsn.get_secret_value()) as deployment:
        found = comparable(await deployment.export())
    assert found == await sequential(postgres, tmp_path / "sequential", given)
