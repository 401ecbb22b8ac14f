"""The vault: data keys made once, wrapped with the secret key, which can be rotated and never guessed around."""

import asyncio
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import SECRET_KEY
from tierwise.db.tables import keyring
from tierwise.security.personal import NotSealedHere, Vault, VaultError, open_vault, rewrap, secret_keys
from tierwise.settings import Settings

ANOTHER_KEY = "another-secret-key-of-32-or-more-characters"


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"secret_key": tuple(map(SecretStr, keys))})


async def test_every_process_opens_the_same_vault(engine: AsyncEngine, settings: Settings) -> None:
    first, second = await open_vault(engine, settings), await open_vault(engine, settings)
    assert first.identifier_hash("email", "li@example.com") == second.identifier_hash("email", "li@example.com")
    assert second.open(first.seal(b"li@example.com")) == b"li@example.com"


async def test_two_first_starts_at_once_make_one_set_of_keys(engine: AsyncEngine, settings: Settings) -> None:
    async with engine.begin() as connection:
        await connection.execute(delete(keyring))
    vaults = await asyncio.gather(*(open_vault(engine, settings) for _ in range(4)))
    assert len({vault.identifier_hash("email", "li@example.com") for vault in vaults}) == 1
    assert len({vault.key_hash("secret") for vault in vaults}) == 1
    assert vaults[3].open(vaults[0].seal(b"x")) == b"x"


async def test_another_secret_key_is_refused_with_what_to_do(engine: AsyncEngine, settings: Settings) -> None:
    with pytest.raises(VaultError, match="not the one that this database was made with"):
        await open_vault(engine, with_keys(settings, ANOTHER_KEY))


async def test_while_rotating_the_old_key_opens_and_the_new_one_takes_over(
    engine: AsyncEngine, settings: Settings, vault: Vault
) -> None:
    sealed = vault.seal(b"li@example.com")
    both = with_keys(settings, ANOTHER_KEY, SECRET_KEY)
    assert (await open_vault(engine, both)).open(sealed) == b"li@example.com"
    async with engine.begin() as connection:
        assert await rewrap(connection, both) == 3
    assert (await open_vault(engine, with_keys(settings, ANOTHER_KEY))).open(sealed) == b"li@example.com"
    with pytest.raises(VaultError):
        await open_vault(engine, with_keys(settings, SECRET_KEY))


async def test_wrapped_keys_cannot_be_swapped_between_purposes(engine: AsyncEngine, settings: Settings) -> None:
    async with engine.begin() as connection:
        wrapped = await connection.scalar(select(keyring.c.wrapped).where(keyring.c.purpose == "keys"))
        await connection.execute(keyring.update().where(keyring.c.purpose == "sealing").values(wrapped=wrapped))
    with pytest.raises(VaultError):
        await open_vault(engine, settings)


def test_without_a_secret_key_a_configured_database_is_refused_with_how_to_make_one(settings: Settings) -> None:
    with pytest.raises(VaultError, match="token_urlsafe"):
        secret_keys(with_keys(settings))


def test_a_short_secret_key_is_refused(settings: Settings) -> None:
    with pytest.raises(VaultError, match="shorter than 32"):
        secret_keys(with_keys(settings, "hunter2"))


def test_embedded_a_secret_key_is_made_once_and_only_its_owner_reads_it(settings: Settings, tmp_path: Path) -> None:
    embedded = with_keys(settings).model_copy(update={"database_url": None, "data_dir": tmp_path / "new"})
    first = secret_keys(embedded)
    assert secret_keys(embedded) == first
    assert stat.S_IMODE((tmp_path / "new" / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secret.key"]


def test_embedded_the_kept_key_still_opens_when_another_is_set(settings: Settings, tmp_path: Path) -> None:
    embedded = with_keys(settings).model_copy(update={"database_url": None, "data_dir": tmp_path})
    kept = secret_keys(embedded)[0]
    assert secret_keys(with_keys(embedded, ANOTHER_KEY)) == [ANOTHER_KEY, kept]


async def test_what_was_altered_or_sealed_in_another_context_does_not_open(vault: Vault) -> None:
    sealed = vault.seal(b"li@example.com", context=b"email")
    assert vault.open(sealed, context=b"email") == b"li@example.com"
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(NotSealedHere):
        vault.open(sealed, context=b"phone")
    for wrong in (altered, sealed[:-1], sealed[:20], b"\x02" + sealed[1:], b"\x01", b""):
        with pytest.raises(NotSealedHere):
            vault.open(wrong, context=b"email")


async def test_hashes_tell_kinds_apart_and_need_the_key(vault: Vault) -> None:
    hashes = {vault.identifier_hash(kind, value) for kind, value in [("a", "bc"), ("ab", "c"), ("a", "b"), ("b", "bc")]}
    assert len(hashes) == 4
    assert {len(value) for value in hashes} == {16}
    other = Vault({"identifiers": bytes(32), "sealing": bytes(32), "keys": bytes(32)})
    assert other.identifier_hash("a", "bc") not in hashes
    assert len(vault.key_hash("secret")) == 32
    assert other.key_hash("secret") != vault.key_hash("secret")
