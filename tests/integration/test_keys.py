"""Keys: shown once, stored as hashes, revocable, and still good while the database is away."""

import asyncio

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tierwise.db.engine import engine_of
from tierwise.db.tables import keys
from tierwise.domain.source import BACKEND, BROWSER, Trust
from tierwise.problem import NotFound, Unauthorized, Unavailable
from tierwise.security.keys import (
    DEFAULT_SCOPES,
    Created,
    KeyRing,
    SourceExists,
    create_read_key,
    create_write_key,
    list_keys,
    revoke_key,
)
from tierwise.security.personal import Vault


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def write_key(engine: AsyncEngine, vault: Vault, source: str = "shop", trust: Trust = BACKEND) -> Created:
    async with engine.begin() as connection:
        return await create_write_key(connection, vault, source=source, trust=trust)


async def read_key(engine: AsyncEngine, vault: Vault, *scopes: str) -> Created:
    async with engine.begin() as connection:
        return await create_read_key(connection, vault, name="dashboard", scopes=scopes or DEFAULT_SCOPES)


async def revoke(engine: AsyncEngine, key_id: str) -> None:
    async with engine.begin() as connection:
        await revoke_key(connection, key_id)


async def test_a_write_key_tells_its_source_and_what_that_may_assert(engine: AsyncEngine, vault: Vault) -> None:
    ring = KeyRing(engine, vault)
    source = await ring.authenticate_write((await write_key(engine, vault, "page", BROWSER)).secret)
    assert (source.name, source.trust) == ("page", BROWSER)


async def test_two_keys_of_a_source_are_the_same_source(engine: AsyncEngine, vault: Vault) -> None:
    ring = KeyRing(engine, vault)
    first, second = await write_key(engine, vault), await write_key(engine, vault)
    assert first.id != second.id
    assert await ring.authenticate_write(first.secret) == await ring.authenticate_write(second.secret)


async def test_a_source_cannot_get_a_key_with_another_trust(engine: AsyncEngine, vault: Vault) -> None:
    await write_key(engine, vault, "shop", BACKEND)
    with pytest.raises(SourceExists, match="shop"):
        await write_key(engine, vault, "shop", BROWSER)


async def test_a_read_key_tells_its_scopes(engine: AsyncEngine, vault: Vault) -> None:
    ring = KeyRing(engine, vault)
    reader = await ring.authenticate_read((await read_key(engine, vault)).secret)
    assert reader.scopes == set(DEFAULT_SCOPES)
    assert "pii:read" not in reader.scopes
    assert (await ring.authenticate_read((await read_key(engine, vault, "pii:read")).secret)).scopes == {"pii:read"}


async def test_unknown_scopes_are_refused(engine: AsyncEngine, vault: Vault) -> None:
    with pytest.raises(ValueError, match="everything"):
        await read_key(engine, vault, "everything")


async def test_secrets_are_nowhere_in_the_database(engine: AsyncEngine, vault: Vault) -> None:
    created = await write_key(engine, vault)
    random = created.secret.split("_", 3)[3]
    assert len(random) == 43
    async with engine.connect() as connection:
        row = (await connection.execute(select(keys))).one()
    assert random.encode() not in repr(row).encode()
    assert row.hash == vault.key_hash(created.secret)


NO_KEYS = ["", "x", "tw_w_", "tw_w__", "tw_w_abc", "tw_x_0123_y", "tw_w_é_x", "tw_w_\0_x", "a" * 9999]


@pytest.mark.parametrize("secret", [*NO_KEYS, "tw_w_0123456789ab_" + "A" * 43])
async def test_what_is_no_key_is_refused(engine: AsyncEngine, vault: Vault, secret: str) -> None:
    with pytest.raises(Unauthorized):
        await KeyRing(engine, vault).authenticate_write(secret)


async def test_the_id_of_a_key_with_another_secret_is_unknown(engine: AsyncEngine, vault: Vault) -> None:
    secret = (await write_key(engine, vault)).secret
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    with pytest.raises(Unauthorized, match="unknown"):
        await KeyRing(engine, vault).authenticate_write(wrong)


async def test_a_key_of_the_other_kind_is_refused_by_name(engine: AsyncEngine, vault: Vault) -> None:
    ring = KeyRing(engine, vault)
    with pytest.raises(Unauthorized, match="other kind"):
        await ring.authenticate_read((await write_key(engine, vault)).secret)
    with pytest.raises(Unauthorized, match="other kind"):
        await ring.authenticate_write((await read_key(engine, vault)).secret)


async def test_a_key_made_after_a_failed_try_works_at_once(engine: AsyncEngine, vault: Vault) -> None:
    ring = KeyRing(engine, vault)
    with pytest.raises(Unauthorized):
        await ring.authenticate_write("tw_w_0123456789ab_" + "A" * 43)
    await ring.authenticate_write((await write_key(engine, vault)).secret)


async def test_revocation_takes_effect_within_ten_seconds(engine: AsyncEngine, vault: Vault) -> None:
    clock = Clock()
    ring = KeyRing(engine, vault, clock=clock)
    created = await write_key(engine, vault)
    await ring.authenticate_write(created.secret)
    await revoke(engine, created.id)
    clock.now_s += 10
    with pytest.raises(Unauthorized, match="revoked"):
        await ring.authenticate_write(created.secret)


async def test_revoking_twice_keeps_the_first_time_and_unknown_ids_are_not_found(
    engine: AsyncEngine, vault: Vault
) -> None:
    created = await write_key(engine, vault)
    await revoke(engine, created.id)
    async with engine.connect() as connection:
        before = await list_keys(connection)
    await revoke(engine, created.id)
    async with engine.connect() as connection:
        assert await list_keys(connection) == before
    assert before[0].revoked_at is not None
    with pytest.raises(NotFound, match="nothing"):
        await revoke(engine, "nothing")


async def test_a_cached_key_asks_the_database_once(engine: AsyncEngine, vault: Vault) -> None:
    ring = KeyRing(engine, vault)
    secret = (await write_key(engine, vault)).secret
    answers = await asyncio.gather(*(ring.authenticate_write(secret) for _ in range(50)))
    assert len(set(answers)) == 1
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE keys RENAME TO gone"))
    await ring.authenticate_write(secret)


async def test_while_the_database_is_away_known_keys_work_and_unknown_ones_are_unavailable(
    postgres: TestServer, database: str, engine: AsyncEngine, vault: Vault
) -> None:
    clock = Clock()
    theirs = engine_of(database)
    ring = KeyRing(theirs, vault, clock=clock)
    known, unknown = await write_key(engine, vault), await write_key(engine, vault)
    source = await ring.authenticate_write(known.secret)
    await engine.dispose()
    name = theirs_name(database)
    async with postgres.administration.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        await connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
    clock.now_s += 300
    assert await ring.authenticate_write(known.secret) == source
    with pytest.raises(Unavailable):
        await ring.authenticate_write(unknown.secret)
    clock.now_s += 600
    with pytest.raises(Unavailable):
        await ring.authenticate_write(known.secret)
    async with postgres.administration.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
    assert await ring.authenticate_write(unknown.secret) == source
    await theirs.dispose()


def theirs_name(database: str) -> str:
    return database.rpartition("/")[2].partition("?")[0]
