"""PostgreSQL's own `pg_dump` and `pg_restore`, of the server's version: from the machine, or from the wheel."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tierwise.db.embedded import EmbeddedDatabaseError
from tierwise.db.programs import find_binaries

_DEBIAN: Final = Path("/usr/lib/postgresql")


class DumpError(Exception):
    """A dump cannot be made or put back; the message says why and what to do."""


async def dump(dsn: str, file: Path, *, major: int, snapshot: str) -> None:
    """Everything that `snapshot` (as exported by a transaction that goes on) sees, in pg_dump's custom format.

    `major`: the server's version. Whoever owns the tables is not in it, nor who may do what. Raises DumpError.
    """
    what = ("--format=custom", "--no-owner", "--no-privileges", "--exclude-table-data=stream_members")
    await _run("pg_dump", major, dsn, *what, f"--snapshot={snapshot}", f"--file={file}")


async def put_back(dsn: str, file: Path, *, major: int) -> None:
    """Into an empty database, all or nothing. Raises DumpError."""
    how = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    await _run("pg_restore", major, dsn, *how, str(file))


async def _run(name: str, major: int, dsn: str, *arguments: str) -> None:
    program = await _program(name, major)
    address, password = without_password(dsn)
    environment = {variable: value for variable, value in os.environ.items() if not variable.startswith("TIERWISE_")}
    if password is not None:
        environment["PGPASSWORD"] = password  # others on the machine see arguments, not this
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        f"--dbname={address}",
        env=environment | {"LC_ALL": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise DumpError(f"{name} failed ({process.returncode}): {said.decode(errors='replace').strip()}")


def without_password(dsn: str) -> tuple[str, str | None]:
    """The address alone, and the password, wherever in the address it stood."""
    parts = urlsplit(dsn)
    given = parse_qsl(parts.query, keep_blank_values=True)
    named = next((value for name, value in given if name == "password"), None)
    password = unquote(parts.password) if parts.password is not None else named
    user, _, server = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{server}" if user else server
    query = urlencode([one for one in given if one[0] != "password"], quote_via=quote)
    return parts._replace(netloc=netloc, query=query).geturl(), password


async def _program(name: str, major: int) -> Path:
    for found in _candidates(name, major):
        process = await asyncio.create_subprocess_exec(found, "--version", stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        version = re.search(rb"\) (\d+)", said)
        if version is not None and int(version[1]) == major:
            return found
    raise DumpError(f"{name} of PostgreSQL {major}, as the server is, is not here: install postgresql-client-{major}")


def _candidates(name: str, major: int) -> Iterator[Path]:
    if (found := shutil.which(name)) is not None:
        yield Path(found)
    if (debian := _DEBIAN / str(major) / "bin" / name).exists():
        yield debian
    try:
        yield find_binaries() / name  # last: it speaks no TLS
    except EmbeddedDatabaseError:
        return
