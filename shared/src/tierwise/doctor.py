"""The command `tierwise doctor`: what a deployment needs, checked, with what to do where something is missing."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.embedded import EmbeddedDatabaseError
from tierwise.db.engine import DATABASE_ERRORS, open_engine
from tierwise.db.migrate import check, head, revision
from tierwise.db.tables import keys
from tierwise.problem import Unavailable
from tierwise.security.personal import VaultError, open_vault
from tierwise.settings import SettingError, Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise.table import show
from tierwise.telemetry import configure_logging

POSTGRESQL_MIN = 14
LATENCY_WARN_MS = 20.0
CLOCK_WARN_S, CLOCK_FAIL_S = 1.0, 60.0
DISK_WARN_BYTES, DISK_FAIL_BYTES = 5_000_000_000, 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is empty where there is nothing to do."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""


def register(app: typer.Typer) -> None:
    @app.command("doctor")
    def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
        """Check database, migrations, keys, stream, clock and disk; say what to do about each."""
        settings = Settings()
        configure_logging(settings)
        findings = asyncio.run(examine(settings))
        show([asdict(finding) for finding in findings], as_json=as_json)
        if any(finding.status == "fail" for finding in findings):
            raise typer.Exit(1)


async def examine(settings: Settings) -> list[Finding]:
    """One finding for each check, in the order in which they depend on each other."""
    disk = check_disk(settings)
    try:
        async with open_engine(settings, pool_size=3) as engine:
            findings = [await check_database(engine)]
            checks: tuple[tuple[str, Callable[[AsyncEngine, Settings], Awaitable[Finding]]], ...] = (
                ("migrations", check_migrations),
                ("keys", check_keys),
                ("stream", check_stream),
                ("clock", check_clock),
            )
            for name, check in checks:
                if findings[0].status == "fail":
                    findings.append(Finding(name, "fail", "not checked: it needs the database"))
                else:
                    findings.append(await check(engine, settings))
    except EmbeddedDatabaseError as error:
        findings = [Finding("database", "fail", str(error))]
    return [*findings, disk]


async def check_database(engine: AsyncEngine) -> Finding:
    try:
        async with engine.connect() as connection:
            name = await connection.scalar(text("SHOW server_version"))
            number = int(await connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
            before = time.perf_counter()
            await connection.execute(text("SELECT 1"))
            latency_ms = (time.perf_counter() - before) * 1000
    except DATABASE_ERRORS as error:
        return Finding("database", "fail", str(error), "Start it; see TIERWISE_DATABASE_URL and the network between.")
    detail = f"PostgreSQL {name}, {latency_ms:.1f} ms away"
    if number < POSTGRESQL_MIN:
        return Finding("database", "fail", detail, f"Upgrade it to PostgreSQL {POSTGRESQL_MIN} or newer.")
    if latency_ms > LATENCY_WARN_MS:
        return Finding("database", "warn", detail, "Run the services nearer to it: each batch waits for it.")
    return Finding("database", "ok", detail)


async def check_migrations(engine: AsyncEngine, _: Settings) -> Finding:
    found = await revision(engine)
    try:
        await check(engine)
    except Unavailable as error:
        return Finding("migrations", "fail", f"at {found or 'none'}, needs {head()}", error.detail)
    return Finding("migrations", "ok", f"at {found}")


async def check_keys(engine: AsyncEngine, settings: Settings) -> Finding:
    try:
        await open_vault(engine, settings)
        write = func.count().filter(keys.c.source_id.is_not(None))
        read = func.count().filter(keys.c.source_id.is_(None))
        async with engine.connect() as connection:
            counts = (await connection.execute(select(write, read).where(keys.c.revoked_at.is_(None)))).one()
    except VaultError as error:
        return Finding("keys", "fail", "the secret key does not open the database", str(error))
    except DATABASE_ERRORS:
        return Finding("keys", "fail", "the tables are missing", "Run `tierwise migrate`.")
    detail = f"the secret key opens the database; {counts[0]} write keys, {counts[1]} read keys"
    if not all(counts):
        advice = "Make them with `tierwise key create --source NAME` and `--reader NAME`."
        return Finding("keys", "warn", detail, advice)
    return Finding("keys", "ok", detail)


async def check_stream(engine: AsyncEngine, settings: Settings) -> Finding:
    where = f"Apache Kafka at {settings.kafka_bootstrap_servers}" if settings.kafka_bootstrap_servers else "embedded"
    try:
        vault = await open_vault(engine, settings)
        async with open_stream(settings, engine, vault) as stream:
            await stream.check()
            partitions = await stream.partitions(INTERACTIONS)
    except SettingError as error:
        return Finding("stream", "fail", f"{where}: not asked", str(error))
    except StreamUnavailable as error:
        return Finding("stream", "fail", f"{where}: {error}", "Start it; see TIERWISE_KAFKA_BOOTSTRAP_SERVERS.")
    except (VaultError, *DATABASE_ERRORS):
        return Finding("stream", "fail", f"{where}: not checked, see above")
    if not partitions:
        return Finding("stream", "fail", f"{where}: no topic {INTERACTIONS}", "Run `tierwise migrate`.")
    return Finding("stream", "ok", f"{where}, {len(partitions)} partitions")


async def check_clock(engine: AsyncEngine, _: Settings) -> Finding:
    async with engine.connect() as connection:
        before = datetime.now(UTC)
        theirs = await connection.scalar(select(func.clock_timestamp()))
        after = datetime.now(UTC)
    ours = before + (after - before) / 2
    ahead_s = (ours - theirs).total_seconds() if theirs else 0.0
    detail = f"{abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} the database"
    if abs(ahead_s) < CLOCK_WARN_S:
        return Finding("clock", "ok", detail)
    status: Literal["warn", "fail"] = "fail" if abs(ahead_s) >= CLOCK_FAIL_S else "warn"
    return Finding("clock", status, detail, "Set both clocks with NTP: interactions from the future are refused.")


def check_disk(settings: Settings) -> Finding:
    path = settings.data_dir.absolute()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    detail = f"{free / 1e9:.1f} GB free under {settings.data_dir}"
    if free >= DISK_WARN_BYTES:
        return Finding("disk", "ok", detail)
    status: Literal["warn", "fail"] = "fail" if free < DISK_FAIL_BYTES else "warn"
    return Finding("disk", status, detail, "Make room, or set TIERWISE_DATA_DIR to another disk.")
