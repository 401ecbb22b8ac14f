"""Idle live connections of one profile API process: what each costs, and how soon all hear of a change.

TIERWISE_BENCH_CONNECTIONS: how many (5,000).
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import numpy as np

from tests.load.bench import Result, benchmark
from tests.load.running import own_directory, own_process
from tests.support.database import test_settings
from tests.support.live import known, record
from tests.support.services import free_port
from tierwise.db.embedded import EmbeddedPostgres
from tierwise.db.engine import engine_of
from tierwise.db.migrate import migrate
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import create_read_key
from tierwise.security.personal import open_vault

CONNECTIONS = int(os.environ.get("TIERWISE_BENCH_CONNECTIONS", "5000"))
CUSTOMERS = 100
AT_ONCE = 100
IDLE_S = 30
_READ_BYTES = 65_536


class Connection:
    """A listener as small as can be: this process has all of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, path: str, key: str) -> "Connection":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        return cls(reader, writer)

    async def until_told(self) -> float:
        """When the next change came."""
        while b"data: " not in await self._reader.read(_READ_BYTES):
            continue
        return time.perf_counter()

    def close(self) -> None:
        self._writer.close()


@benchmark("live-connections")
async def live_connections() -> AsyncIterator[Result]:
    with own_directory() as directory:
        server = EmbeddedPostgres(directory)
        await asyncio.to_thread(server.start)
        engine = engine_of(server.dsn)
        try:
            settings = test_settings(database_url=server.dsn, data_dir=directory).model_copy(
                update={"profile_api_port": free_port()}
            )
            await migrate(settings, engine)
            async with engine.begin() as connection:
                key = await create_read_key(connection, await open_vault(connection, settings), name="load")
                for number in range(1, CUSTOMERS + 1):
                    await known(connection, number)
            with own_process("profile-api", settings) as process:
                before = process.memory_info().rss
                slots = asyncio.Semaphore(AT_ONCE)

                async def listen(index: int) -> Connection:
                    async with slots:
                        path = f"/v1/customers/{public_id(index % CUSTOMERS + 1)}/live"
                        return await Connection.open(settings.profile_api_port, path, key.secret)

                connections = await asyncio.gather(*map(listen, range(CONNECTIONS)))
                memory = process.memory_info().rss - before
                spent = sum(process.cpu_times()[:2])
                await asyncio.sleep(IDLE_S)
                idle_s = sum(process.cpu_times()[:2]) - spent
                told = [asyncio.create_task(one.until_told()) for one in connections]
                async with engine.begin() as connection:
                    for number in range(1, CUSTOMERS + 1):
                        await record(connection, number, 1)
                committed = time.perf_counter()
                latencies = np.array(await asyncio.gather(*told)) - committed
                for one in connections:
                    one.close()
        finally:
            await engine.dispose()
            server.stop()
    unit = f"{CONNECTIONS:,} connections"
    yield Result(name="live-connections-memory", value=memory / CONNECTIONS / 1_000, unit=f"kB each, {unit}")
    yield Result(name="live-connections-idle-cpu", value=100 * idle_s / IDLE_S, unit=f"% of a core, {unit}")
    yield Result(
        name="live-connections-told",
        value=float(np.percentile(latencies, 99)) * 1_000,
        unit=f"ms p99, all told at once, {unit}",
        goal=1_000,
        lower_is_better=True,
    )
