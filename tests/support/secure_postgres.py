"""A PostgreSQL that takes nobody without TLS and a password (SCRAM-SHA-256): the machine's own, since the wheel's is
built without OpenSSL."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from tests.support.authority import Authority, authority
from tests.support.missing import missing
from tests.support.services import free_port
from tierwise.db.programs import Account, server_account

PASSWORD = "the-password-of-the-tests"


class SecurePostgres(NamedTuple):
    """On 127.0.0.1, with the superuser `tierwise`."""

    port: int
    authority: Authority

    def url(self, *, password: str = PASSWORD, user: str = "tierwise", **parameters: object) -> str:
        """`parameters`: libpq's; unless others are given those of sslmode=verify-full."""
        given = {"sslmode": "verify-full", "sslrootcert": self.authority.certificate} | parameters
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/postgres?{urlencode(given)}"


@contextmanager
def secure_postgres(directory: Path) -> Iterator[SecurePostgres]:
    """Skips where the machine has no server."""
    programs = _programs()
    account, data = server_account(), directory / "secure"
    vouched = authority(directory / "authority")
    password = directory / "password"
    password.write_text(PASSWORD)
    data.mkdir(mode=0o700)
    _give(account, data, password, directory / "authority", *vouched)
    _run(account, programs / "initdb", "-D", data, "-U", "tierwise", "-A", "scram-sha-256", "--pwfile", password)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    port = free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": vouched.server,
        "ssl_key_file": vouched.server,
        "ssl_min_protocol_version": "TLSv1.3",
    }
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    _run(account, programs / "pg_ctl", "start", "-w", "-D", data, "-l", data / "log")
    try:
        yield SecurePostgres(port, vouched)
    finally:
        _run(account, programs / "pg_ctl", "stop", "-m", "immediate", "-D", data)


def _programs() -> Path:
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = newest[-1] if newest else shutil.which("initdb")
    if found is None:
        missing("no PostgreSQL of the machine's own here (Debian: postgresql), and the wheel's speaks no TLS")
    return Path(found).parent


def _give(account: Account | None, *paths: Path) -> None:
    if account is not None:
        for path in paths:
            os.chown(path, account.uid, account.gid)


def _run(account: Account | None, *command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # not a pipe: the server would hold it open
        stderr=subprocess.STDOUT,
        user=account.uid if account else None,
        group=account.gid if account else None,
        check=False,
    )
    assert done.returncode == 0, command
