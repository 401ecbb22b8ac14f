"""From one version's database to the next one's: with data in it, while the older version runs, and back."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

import tierwise.db.migrations
from tests.support.database import TestServer, test_settings
from tests.support.product import Product, purchase
from tierwise.db.backup import backup, read_manifest, restore
from tierwise.db.engine import engine_of
from tierwise.db.migrate import check, head, known, migrate, revision, upgrade
from tierwise.db.tables import customers
from tierwise.problem import Unavailable
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_scoring.digest import Digesting

RELEASED = sorted(
    path.parent for path in (Path(__file__).parents[1] / "released" / "databases").glob("*/manifest.json")
)
"""Backups of each released version, made as CONTRIBUTING.md says."""

AT = datetime(2040, 1, 1, tzinfo=UTC)

_NEXT = """
from alembic import op

revision = "{revision}"
down_revision = "{before}"
serves_from = "{serves_from}"


def upgrade() -> None:
    op.execute("{statement}")
"""


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


class Next:
    """The migrations of a version to come."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "migrations"
        shutil.copytree(Path(next(iter(tierwise.db.migrations.__path__))), self._directory)
        self._newest = head()

    def add(self, statement: str, *, serves_from: str) -> None:
        before, self._newest = self._newest, f"{int(self._newest) + 1:04}"
        migration = _NEXT.format(revision=self._newest, before=before, serves_from=serves_from, statement=statement)
        (self._directory / "versions" / f"{self._newest}_next.py").write_text(migration)

    async def upgrade(self, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.run_sync(self._upgrade)

    def _upgrade(self, connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(self._directory))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


async def test_this_version_works_while_and_after_the_next_one_adds_to_its_database(
    product: Product, tmp_path: Path
) -> None:
    newer = Next(tmp_path)
    newer.add("ALTER TABLE customers ADD COLUMN later text NOT NULL DEFAULT 'yes'", serves_from=head())

    async def purchases(start: int) -> None:
        for number in range(start, start + 3):
            await product.append(purchase(number, "10.00"))
            await product.score()

    await purchases(0)
    await asyncio.gather(purchases(3), newer.upgrade(product.engine))
    await check(product.engine)
    await migrate(product.settings, product.engine)
    await purchases(6)

    assert not known(str(await revision(product.engine)))
    assert (await product.view("user_id", "u1"))["orders"]["count"] == 9
    assert await product.count(customers) == 1


async def test_a_database_that_lost_what_this_version_needs_is_refused(product: Product, tmp_path: Path) -> None:
    newer = Next(tmp_path)
    newer.add("CREATE TABLE later (id int)", serves_from=head())
    newer.add("DROP TABLE reviews", serves_from=f"{int(head()) + 1:04}")
    await newer.upgrade(product.engine)

    for attempt in (check(product.engine), migrate(product.settings, product.engine)):
        with pytest.raises(Unavailable, match="of a newer version"):
            await attempt


async def test_this_versions_database_is_what_the_next_will_find(
    product: Product, postgres: TestServer, tmp_path: Path
) -> None:
    """As each release's is kept, and brought up by all that follow."""
    for number in range(5):
        await product.append(purchase(number, "10.00", identifiers={"email": f"{number}@example.com"}))
    await product.score()
    assert product.settings.database_url is not None
    await backup(product.settings, product.settings.database_url.get_secret_value(), tmp_path / "released")
    found = (await Digesting(product.engine, product.vault).run(AT)).hash

    assert await brought_up(postgres, tmp_path / "released") == found


async def test_databases_of_all_released_versions_are_brought_up_without_loss(postgres: TestServer) -> None:
    for directory in RELEASED:
        assert await brought_up(postgres, directory) == (directory / "digest").read_text().strip(), directory.name


async def brought_up(postgres: TestServer, directory: Path) -> str:
    """The digest of a released database, upgraded."""
    async with postgres.database(template=None) as dsn:
        settings = test_settings(database_url=dsn, data_dir=directory)
        await read_manifest(settings, directory)
        await restore(settings, dsn, directory)
        engine = engine_of(dsn)
        await upgrade(engine)
        await check(engine)
        found = await Digesting(engine, await open_vault(engine, settings)).run(AT)
        await engine.dispose()
    return found.hash
