"""The embedded PostgreSQL is shared, survives being killed, and never loses or mixes up data."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tierwise.db.embedded import EmbeddedDatabaseError, EmbeddedPostgres, embedded_postgres
from tierwise.db.engine import engine_of

HOLD = """
import sys, time
from pathlib import Path
from tierwise.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("started", flush=True)
sys.stdin.read()
server.stop()
print("stopped", flush=True)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tierwise-embedded-"))
    path.chmod(0o711)  # where we are root the server runs as another user
    yield path
    with quietly(path) as server:
        server.start()  # whoever was killed here may have left it running
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def quietly(path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(path)
    try:
        yield server
    except EmbeddedDatabaseError:
        return
    finally:
        server.stop()


@contextmanager
def another_command(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the server until its stdin closes."""
    arguments = [sys.executable, "-c", HOLD, str(data_dir)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
        process.kill()


def kill_first_start_half_way(data_dir: Path) -> None:
    arguments = [sys.executable, "-c", HOLD, str(data_dir)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        while not list(data_dir.glob("postgres.new-*/base")):
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()


def sleeping_process(uid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], user=uid if os.geteuid() == 0 else None)


@contextmanager
def open_directory(path: Path) -> Iterator[None]:
    path.mkdir()
    path.chmod(0o777)
    try:
        yield
    finally:
        path.rmdir()


async def remembered(dsn: str, *statements: str) -> list[int]:
    engine = engine_of(dsn)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS remembered (n int)"))
        for statement in statements:
            await connection.execute(text(statement))
        rows = (await connection.scalars(text("SELECT n FROM remembered ORDER BY n"))).all()
    await engine.dispose()
    return list(rows)


def died(pid: int, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z" in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.05)
    return False


async def test_a_second_start_finds_what_the_first_one_stored(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as dsn:
        await remembered(dsn, "INSERT INTO remembered VALUES (1)")
    async with embedded_postgres(data_dir) as dsn:
        assert await remembered(dsn) == [1]


async def test_it_listens_on_its_socket_only_and_flushes_what_is_committed(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as dsn:
        engine = engine_of(dsn)
        async with engine.connect() as connection:
            for name, value in {
                "listen_addresses": "",
                "fsync": "on",
                "synchronous_commit": "on",
                "full_page_writes": "on",
                "TimeZone": "UTC",
                "server_encoding": "UTF8",
            }.items():
                assert await connection.scalar(text(f"SHOW {name}")) == value
        await engine.dispose()


async def test_the_last_of_two_commands_stops_the_server(data_dir: Path) -> None:
    with another_command(data_dir) as other:
        async with embedded_postgres(data_dir) as dsn:
            pid = EmbeddedPostgres(data_dir).postmaster_pid
            await remembered(dsn)
        assert not died(pid, within_s=0.5)
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.close()
        assert await asyncio.to_thread(other.stdout.readline) == "stopped\n"
        assert died(pid)


async def test_first_starts_at_the_same_moment_share_one_server(data_dir: Path) -> None:
    servers = [EmbeddedPostgres(data_dir) for _ in range(4)]
    await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
    pids = {server.postmaster_pid for server in servers}
    assert await remembered(servers[0].dsn, "INSERT INTO remembered VALUES (1)") == [1]
    assert await remembered(servers[3].dsn) == [1]
    await asyncio.gather(*(asyncio.to_thread(server.stop) for server in servers))
    assert len(pids) == 1
    assert died(pids.pop())


async def test_a_killed_command_leaves_a_server_that_the_next_one_takes_over(data_dir: Path) -> None:
    with another_command(data_dir) as other:
        pid = EmbeddedPostgres(data_dir).postmaster_pid
        other.kill()
        other.wait()
    async with embedded_postgres(data_dir) as dsn:
        await remembered(dsn)
        assert EmbeddedPostgres(data_dir).postmaster_pid == pid
    assert died(pid)


async def test_a_killed_server_starts_again_with_everything_committed(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    await asyncio.to_thread(server.start)
    await remembered(server.dsn, *(f"INSERT INTO remembered VALUES ({n})" for n in range(5)))
    os.kill(server.postmaster_pid, signal.SIGKILL)
    await asyncio.to_thread(server.stop)
    async with embedded_postgres(data_dir) as dsn:
        assert await remembered(dsn) == [0, 1, 2, 3, 4]


async def test_a_server_that_is_killed_at_this_very_moment_is_started_and_not_waited_for(data_dir: Path) -> None:
    """It still listens while the kernel ends it."""
    with quietly(data_dir) as server:
        await asyncio.to_thread(server.start)
        for _ in range(3):
            os.kill(server.postmaster_pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                await asyncio.to_thread(server.revive)
        assert server.alive()


async def test_a_server_killed_while_in_use_is_started_again(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as dsn:
        await remembered(dsn, "INSERT INTO remembered VALUES (1)")
        before = EmbeddedPostgres(data_dir).postmaster_pid
        os.kill(before, signal.SIGKILL)
        for _ in range(100):
            await asyncio.sleep(0.1)
            try:
                assert await remembered(dsn) == [1]
            except OSError:
                continue
            break
        assert EmbeddedPostgres(data_dir).postmaster_pid != before


async def test_a_stale_pid_file_whose_number_is_another_process_now_does_not_hinder(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    await asyncio.to_thread(server.start)
    await remembered(server.dsn, "INSERT INTO remembered VALUES (1)")
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(int(lines[0]), signal.SIGKILL)
    await asyncio.to_thread(server.stop)
    assert died(int(lines[0]))
    # Of the server's own user, so that PostgreSQL itself would take it for a running postmaster.
    owner = pid_file.stat()
    with sleeping_process(owner.st_uid) as bystander:
        pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        lock = data_dir / "postgres" / ".s.PGSQL.5432.lock"
        lock.write_text(f"{bystander.pid}\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        os.chown(lock, owner.st_uid, owner.st_gid)
        try:
            async with embedded_postgres(data_dir) as dsn:
                assert await remembered(dsn) == [1]
            assert bystander.poll() is None
        finally:
            bystander.kill()


async def test_a_first_start_that_was_killed_half_way_leaves_nothing_in_the_way(data_dir: Path) -> None:
    await asyncio.to_thread(kill_first_start_half_way, data_dir)
    assert not (data_dir / "postgres").exists()
    async with embedded_postgres(data_dir) as dsn:
        assert await remembered(dsn) == []


async def test_a_data_directory_of_another_version_is_refused_with_what_to_do(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        pass
    version = data_dir / "postgres" / "PG_VERSION"
    version.write_text("14\n")
    with pytest.raises(EmbeddedDatabaseError, match=r"made by PostgreSQL 14.*pg_upgrade.*TIERWISE_DATABASE_URL"):
        await asyncio.to_thread(EmbeddedPostgres(data_dir).start)


async def test_a_directory_that_holds_something_else_is_left_alone(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "thesis.txt").write_text("do not touch")
    with pytest.raises(EmbeddedDatabaseError, match="no PostgreSQL data directory"):
        await asyncio.to_thread(EmbeddedPostgres(data_dir).start)
    assert (data_dir / "postgres" / "thesis.txt").read_text() == "do not touch"


@pytest.mark.parametrize("name", ["deep/" * 30 + "end", "with a blank, a 'quote' and $HOME"])
async def test_any_path_will_do(data_dir: Path, name: str) -> None:
    async with embedded_postgres(data_dir / name) as dsn:
        assert await remembered(dsn, "INSERT INTO remembered VALUES (1)") == [1]
    async with embedded_postgres(data_dir / name) as dsn:
        assert await remembered(dsn) == [1]


async def test_a_socket_directory_that_others_can_enter_is_refused(data_dir: Path) -> None:
    deep = data_dir / ("deep/" * 30)
    server = EmbeddedPostgres(deep)
    with open_directory(server.socket_directory), pytest.raises(EmbeddedDatabaseError, match="not ours alone"):
        await asyncio.to_thread(server.start)
