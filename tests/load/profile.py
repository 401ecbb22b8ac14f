"""Reading current views, by id and by identifier, against a server that reads the same row and nothing more.

TIERWISE_BENCH_CUSTOMERS: how many there are (1,000,000).
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.load.bench import Result, benchmark
from tests.load.population import settle, store_population
from tests.load.running import own_directory, own_process, until_ready
from tests.load.sender import Order, Sent, ordered
from tests.support.database import test_server, test_settings
from tests.support.services import free_port
from tierwise.db.engine import open_engine
from tierwise.db.tables import identifiers
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault, open_vault

CUSTOMERS: Final = int(os.environ.get("TIERWISE_BENCH_CUSTOMERS", "1000000"))
REQUESTS: Final = 30_000
PREPARED: Final = 5_000
CONNECTIONS: Final = 32


@benchmark("profile-read")
async def profile_read() -> AsyncIterator[Result]:
    """Customers drawn from all of them."""
    drawn = random.Random(7).sample(range(1, CUSTOMERS + 1), min(PREPARED, CUSTOMERS))
    with own_directory() as directory:
        async with test_server(directory) as server, server.database() as dsn:
            settings = test_settings(database_url=dsn, data_dir=directory)
            settings = settings.model_copy(update={"profile_api_port": free_port()})
            async with open_engine(settings) as engine:
                vault = await open_vault(engine, settings)
                await store_population(engine, CUSTOMERS)
                await identify(engine, vault, drawn)
                await settle(engine)
                async with engine.begin() as connection:
                    secret = (await create_read_key(connection, vault, name="bench")).secret
            by_id = [f"/v1/customers/{public_id(number)}" for number in drawn]
            by_identifier = [f"/v1/customers/by/user_id/u{number}" for number in drawn]
            with own_process("profile-api", settings):
                port = settings.profile_api_port
                await asked(port, by_id, secret, requests=3_000)
                calm = await asked(port, by_id, secret, requests=10_000, per_second=1_000)
                calm_by = await asked(port, by_identifier, secret, requests=10_000, per_second=1_000)
                sent = await asked(port, by_id, secret)
            with bare(dsn) as port:
                await asked(port, by_id, secret, requests=3_000)
                least = await asked(port, by_id, secret)
    for name, found in (("profile-read-p99", calm), ("profile-read-by-identifier-p99", calm_by)):
        yield Result(name=name, value=found.latency_p99_ms, unit="ms at 1,000/s", goal=10.0, lower_is_better=True)
    yield Result(
        name="profile-read",
        value=REQUESTS / sent.seconds,
        unit="requests/s",
        baseline="bare ASGI and asyncpg, the same row",
        baseline_value=REQUESTS / least.seconds,
        ratio_goal=0.5,
    )


async def identify(engine: AsyncEngine, vault: Vault, customers: list[int]) -> None:
    rows = [
        {
            "hash": vault.identifier_hash("user_id", f"u{number}"),
            "customer_id": number,
            "kind": "user_id",
            "ciphertext": vault.seal(f"u{number}".encode(), context=b"user_id"),
        }
        for number in customers
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(identifiers), rows)


async def asked(
    port: int, paths: list[str], secret: str, *, requests: int = REQUESTS, per_second: float | None = None
) -> Sent:
    with tempfile.TemporaryDirectory() as prepared:
        prepare(Path(prepared), paths, secret)
        return await ordered(
            Order(port=port, directory=prepared, requests=requests, connections=CONNECTIONS, per_second=per_second)
        )


def prepare(directory: Path, paths: list[str], secret: str) -> None:
    """One request a file, as the load generator wants them."""
    for number, path in enumerate(paths):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\r\n"
        (directory / f"{number:06}").write_bytes(head.encode())


@contextmanager
def bare(dsn: str) -> Iterator[int]:
    """`tests.load.bare_read`; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.load.bare_read", str(port), dsn])
    try:
        until_ready(process, f"http://127.0.0.1:{port}/readyz")
        yield port
    finally:
        process.terminate()
        process.wait(20)
