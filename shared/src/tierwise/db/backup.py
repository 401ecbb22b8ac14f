"""Backups: a dump of one state of the database, which holds how far the stream was scored, and a manifest beside it."""

import asyncio
import hashlib
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.dumping import dump, put_back
from tierwise.db.engine import engine_of, snapshot
from tierwise.db.migrate import check, head, known, revision
from tierwise.db.settling import settle
from tierwise.db.tables import customers, stream_positions
from tierwise.problem import Problem
from tierwise.security.personal import VaultError, open_vault, secret_key_id, secret_key_ids
from tierwise.settings import Settings

FORMAT: Final = 1
DUMP: Final = "database.dump"
MANIFEST: Final = "manifest.json"


class NoBackup(Problem):
    status, code, title = 409, "no_backup", "This is no backup that can be used here"


class NotEmpty(Problem):
    status, code, title = 409, "not_empty", "There is something already"


class Position(msgspec.Struct, frozen=True):
    """How far a partition was scored: the next record to read."""

    cluster: str
    topic_id: str
    topic: str
    partition: int
    position: int


class Manifest(msgspec.Struct, frozen=True):
    """`revision`: the newest migration; `secret_key_id`: of the secret key that opens it, which is not in it; `sha256`
    and `bytes`: of the dump."""

    format: int
    tierwise: str
    made_at: datetime
    revision: str
    postgresql: int
    secret_key_id: str
    stream: str
    positions: list[Position]
    customers: int
    bytes: int
    sha256: str


async def backup(settings: Settings, dsn: str, directory: Path) -> Manifest:
    """Make `directory` with a backup in it, while services go on. The manifest is written last: without it, it is none.

    Raises NotEmpty, VaultError, DumpError, Unavailable (never migrated), DatabaseUnreachable.
    """
    _make(directory)
    engine = engine_of(dsn)
    try:
        await check(engine)
        manifest = await _dumped(settings, engine, dsn, directory / DUMP)
    finally:
        await engine.dispose()
    _write(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return manifest


async def _dumped(settings: Settings, engine: AsyncEngine, dsn: str, file: Path) -> Manifest:
    async with snapshot(engine) as connection:
        key_id = await secret_key_id(connection, settings)
        exported = str(await connection.scalar(text("SELECT pg_export_snapshot()")))
        major = await server_major(connection)
        positions = [Position(**row._mapping) for row in await connection.execute(_POSITIONS)]
        count = await connection.scalar(select(func.count()).where(customers.c.merged_into.is_(None)))
        await dump(dsn, file, major=major, snapshot=exported)
    size, sha256 = await asyncio.to_thread(_measured, file)
    return Manifest(
        format=FORMAT,
        tierwise=version("tierwise-shared"),
        made_at=datetime.now(UTC),
        revision=str(await revision(engine)),
        postgresql=major,
        secret_key_id=key_id,
        stream="kafka" if settings.kafka_bootstrap_servers else "embedded",
        positions=positions,
        customers=count or 0,
        bytes=size,
        sha256=sha256,
    )


async def restore(settings: Settings, dsn: str, directory: Path) -> None:
    """Put a backup (one of `read_manifest`) into an empty database. Raises NotEmpty, DumpError, VaultError,
    DatabaseUnreachable."""
    engine = engine_of(dsn)
    try:
        async with engine.connect() as connection:
            if await connection.scalar(text("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')")):
                raise NotEmpty(
                    "The database has tables: restore into an empty one (embedded: another TIERWISE_DATA_DIR)."
                )
            major = await server_major(connection)
        await put_back(dsn, directory / DUMP, major=major)
        async with engine.begin() as connection:
            await settle(connection)
            await open_vault(connection, settings)
    finally:
        await engine.dispose()


async def read_manifest(settings: Settings, directory: Path) -> Manifest:
    """Of a backup that is whole, that this version understands, and whose secret key is here. Raises NoBackup,
    VaultError."""
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NoBackup(f"{directory} has no {MANIFEST}: no backup was finished there.") from None
    except msgspec.MsgspecError as error:
        raise NoBackup(f"{directory / MANIFEST}: {error}") from error
    if manifest.format != FORMAT or not known(manifest.revision):
        raise NoBackup(
            f"It was made by Tierwise {manifest.tierwise}, whose database is at {manifest.revision}; this one knows up "
            f"to {head()}. Restore it with that version, or a newer one."
        )
    _check_key(settings, manifest)
    file = directory / DUMP
    if await asyncio.to_thread(_measured, file) != (manifest.bytes, manifest.sha256):
        raise NoBackup(f"{file} is not as it was made: its size or SHA-256 is another. Take another backup.")
    return manifest


async def server_major(connection: AsyncConnection) -> int:
    return int(await connection.scalar(text("SHOW server_version_num")) or 0) // 10_000


_POSITIONS: Final = select(stream_positions).order_by(stream_positions.c.topic, stream_positions.c.partition)


def _check_key(settings: Settings, manifest: Manifest) -> None:
    # Asked before an embedded database would make a key of its own.
    if manifest.secret_key_id not in secret_key_ids(settings):
        raise VaultError(
            f"The backup is opened by the secret key {manifest.secret_key_id}, which is not here: set "
            "TIERWISE_SECRET_KEY to it (embedded: it was in DATA_DIR/secret.key)"
        )


def _make(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise NotEmpty(f"{directory} has something in it: name a new directory.")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _measured(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256."""
    if not path.exists():
        return 0, ""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
