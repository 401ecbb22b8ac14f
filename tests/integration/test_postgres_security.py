"""PostgreSQL behind TLS and SCRAM: what the URL says is what is spoken, and what is wrong is named."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import test_settings
from tests.support.secure_postgres import PASSWORD, SecurePostgres, secure_postgres
from tierwise.db.backup import backup
from tierwise.db.engine import DatabaseUnreachable, open_engine
from tierwise.db.migrate import check, migrate, upgrade
from tierwise.doctor import examine


@pytest.fixture(scope="session")
def server(short_dir: Path) -> Iterator[SecurePostgres]:
    with secure_postgres(short_dir) as server:
        yield server


@pytest.fixture
async def engine(server: SecurePostgres, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with open_engine(test_settings(database_url=server.url(), data_dir=tmp_path)) as engine:
        yield engine


async def test_the_database_works_over_tls_whose_certificate_was_checked(engine: AsyncEngine) -> None:
    await upgrade(engine)
    await check(engine)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        assert await connection.scalar(text("SHOW password_encryption")) == "scram-sha-256"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"password": "not-it"}, "See user and password in TIERWISE_DATABASE_URL"),
        ({"user": "nobody"}, "See user and password in TIERWISE_DATABASE_URL"),
        ({"sslmode": "disable"}, "See user and sslmode in TIERWISE_DATABASE_URL"),
        ({"sslrootcert": "/nowhere.pem"}, "See sslmode, sslrootcert"),
    ],
)
async def test_what_the_server_refuses_names_the_setting_and_no_secret(
    server: SecurePostgres, tmp_path: Path, wrong: dict[str, Any], named: str
) -> None:
    assert named in await refusal(server.url(**wrong), tmp_path)


async def test_a_server_whom_another_authority_vouches_for_is_not_talked_to(
    server: SecurePostgres, tmp_path: Path
) -> None:
    told = await refusal(server.url(sslrootcert=server.authority.stranger), tmp_path)

    assert "See sslrootcert in TIERWISE_DATABASE_URL" in told


async def refusal(url: str, directory: Path) -> str:
    async with open_engine(test_settings(database_url=url, data_dir=directory)) as engine:
        with pytest.raises(DatabaseUnreachable) as refused:
            await check(engine)
    told = str(refused.value)
    assert PASSWORD not in told
    assert "not-it" not in told
    return told


async def test_a_backup_over_tls_shows_its_password_to_nobody(
    server: SecurePostgres, engine: AsyncEngine, tmp_path: Path
) -> None:
    settings = test_settings(database_url=server.url(), data_dir=tmp_path)
    await migrate(settings, engine)
    seen: set[bytes] = set()
    watching = asyncio.create_task(gather_arguments(seen))
    await backup(settings, server.url(), tmp_path / "backup")
    watching.cancel()

    assert any(b"pg_dump" in arguments and b"sslmode=verify-full" in arguments for arguments in seen)
    assert not [arguments for arguments in seen if PASSWORD.encode() in arguments]


async def test_what_the_doctor_finds_has_no_password_in_it(server: SecurePostgres, tmp_path: Path) -> None:
    for password in (PASSWORD, "not-it"):
        settings = test_settings(database_url=server.url(password=password), data_dir=tmp_path)
        assert password not in str(await examine(settings))


async def gather_arguments(seen: set[bytes]) -> None:
    """What anyone on the machine sees of our children, over and over."""
    ours = psutil.Process()
    while True:
        for child in ours.children():
            with suppress(psutil.Error):  # it has ended
                seen.add("\n".join(child.cmdline()).encode())
        await asyncio.sleep(0.01)
