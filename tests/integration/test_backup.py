"""Backups: what is in them, where they can be put back, and what is published then."""

import json
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer, test_settings
from tests.support.product import Product, purchase
from tierwise.db.backup import NoBackup, NotEmpty, backup, read_manifest, restore
from tierwise.db.dumping import without_password
from tierwise.db.engine import engine_of
from tierwise.security.personal import Vault, VaultError, secret_key_ids
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.topics import TIER_CHANGES


def dsn_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


async def test_after_a_restore_elsewhere_changes_are_published_once_each(
    settings: Settings, engine: AsyncEngine, vault: Vault, postgres: TestServer, tmp_path: Path
) -> None:
    """Another server counts its transactions from elsewhere: here from far below."""
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(purchase(1, "10.00", identifiers={"user_id": "published"}))
        await product.score()
        await product.relay()
        await product.append(purchase(2, "10.00", identifiers={"user_id": "waiting"}))
        await product.score()
    await shift(engine, 1 << 40)
    await backup(settings, dsn_of(settings), tmp_path / "backup")

    async with postgres.database(template=None) as dsn:
        restored = test_settings(database_url=dsn, data_dir=tmp_path)
        await restore(restored, dsn, tmp_path / "backup")
        again = engine_of(dsn)
        async with open_stream(restored, again, vault) as stream:
            product = Product(again, stream, vault, restored)
            before = len(await product.published(TIER_CHANGES))
            await product.relay()
            assert len(await product.published(TIER_CHANGES)) == before + 1
            await product.append(purchase(3, "10.00", identifiers={"user_id": "new"}))
            await product.score()
            await product.relay()
            assert len(await product.published(TIER_CHANGES)) == before + 2
            assert await newest_id(again) > 1_000_000_000
        await again.dispose()


async def shift(engine: AsyncEngine, by: int) -> None:
    """As if the server had seen so many transactions more."""
    places = (("changes", "xid"), ("relay_cursors", "window_from"), ("relay_cursors", "window_to"))
    async with engine.begin() as connection:
        for table, column in places:
            statement = f"UPDATE {table} SET {column} = ({column}::text::bigint + {by})::text::xid8"
            await connection.execute(text(statement))


async def newest_id(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT max(id) FROM customers")) or 0)


async def test_a_backup_holds_neither_the_secret_key_nor_personal_data(
    settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(
            purchase(1, "1.00", identifiers={"email": "li@example.com"}, attributes={"name": "Li Jia"})
        )
        await product.score()
    await backup(settings, dsn_of(settings), tmp_path / "backup")
    written = b"".join(path.read_bytes() for path in (tmp_path / "backup").iterdir())
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())

    assert manifest["secret_key_id"] in secret_key_ids(settings)
    assert manifest["customers"] == 1
    assert {one["topic"] for one in manifest["positions"]} == {"interactions"}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    for secret in (settings.secret_key[0].get_secret_value(), "li@example.com", "Li Jia"):
        assert secret.encode() not in written


async def test_what_cannot_be_restored_is_said_before_anything_is_written(settings: Settings, tmp_path: Path) -> None:
    made, own = tmp_path / "backup", dsn_of(settings)
    await backup(settings, own, made)
    with pytest.raises(NotEmpty, match="has something in it"):
        await backup(settings, own, made)
    with pytest.raises(NotEmpty, match="The database has tables"):
        await restore(settings, own, made)

    another = settings.model_copy(update={"secret_key": (SecretStr("another-key-of-more-than-32-characters"),)})
    with pytest.raises(VaultError, match="TIERWISE_SECRET_KEY"):
        await read_manifest(another, made)
    with (made / "database.dump").open("ab") as file:
        file.write(b"x")
    with pytest.raises(NoBackup, match="not as it was made"):
        await read_manifest(settings, made)
    (made / "manifest.json").unlink()
    with pytest.raises(NoBackup, match="no backup was finished"):
        await read_manifest(settings, made)


async def test_a_backup_of_a_newer_version_is_not_restored(settings: Settings, tmp_path: Path) -> None:
    made = await backup(settings, dsn_of(settings), tmp_path / "backup")
    newer = msgspec.structs.replace(made, revision="9999", tierwise="9.0.0")
    (tmp_path / "backup" / "manifest.json").write_bytes(msgspec.json.encode(newer))

    with pytest.raises(NoBackup, match=r"made by Tierwise 9\.0\.0"):
        await read_manifest(settings, tmp_path / "backup")


async def test_restoring_makes_no_secret_key_of_its_own(settings: Settings, tmp_path: Path) -> None:
    await backup(settings, dsn_of(settings), tmp_path / "backup")
    elsewhere = settings.model_copy(update={"database_url": None, "secret_key": (), "data_dir": tmp_path / "new"})

    with pytest.raises(VaultError, match=r"secret\.key"):
        await read_manifest(elsewhere, tmp_path / "backup")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://us:p%40ss@db/tierwise", "postgresql://us@db/tierwise", "p@ss"),
        ("postgresql://us@db:5433/tierwise?sslmode=require", "postgresql://us@db:5433/tierwise?sslmode=require", None),
        ("postgresql://db/tierwise?password=p%26s&user=us", "postgresql://db/tierwise?user=us", "p&s"),
        ("postgresql://tierwise@/tierwise?host=%2Ftmp%2Fa", "postgresql://tierwise@/tierwise?host=%2Ftmp%2Fa", None),
    ],
)
def test_no_password_stands_in_the_arguments_of_a_program(dsn: str, address: str, password: str | None) -> None:
    assert without_password(dsn) == (address, password)
