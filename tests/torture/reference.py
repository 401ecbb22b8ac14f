"""The run that nobody interrupts: the same interactions, sent to a database of their own and scored in one go."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import msgspec
import segment.analytics.client as segment  # type: ignore[import-untyped]

from tests.support.database import TestServer, test_settings
from tests.support.ingest import serving, write_key
from tests.support.scoring import scored, worker
from tests.torture.journal import Journal
from tests.torture.said import CLIENTS, NATIVE, SEGMENT, Script
from tests.torture.written import Written
from tierwise.db.engine import open_engine
from tierwise.security.personal import open_vault
from tierwise.stream.open import open_stream
from tierwise.stream.topics import INTERACTIONS
from tierwise_scoring.digest import Digest, Digesting

_REQUEST = 500  # interactions


async def uninterrupted(
    server: TestServer, directory: Path, script: Script, journal: Journal, back: Written, at: datetime
) -> Digest:
    """The digest at a time of all that was acknowledged. `back`: what was written back."""
    async with server.database() as dsn:
        settings = test_settings(database_url=dsn, data_dir=directory)
        async with open_engine(settings) as engine:
            vault = await open_vault(engine, settings)
            keys = {client: (await write_key(engine, vault, source=client)).secret for client in CLIENTS}
            async with serving(settings) as http:
                for client in NATIVE:
                    batches = (script.native(client, number) for number in range(journal.next(client)))
                    await _send(http, "/v1/interactions", keys[client], (one for batch in batches for one in batch))
                numbers = range(journal.next(SEGMENT))
                await _send(http, "/v1/batch", keys[SEGMENT], _messages(script, numbers, keys[SEGMENT]))
            async with open_stream(settings, engine, vault) as stream:
                await stream.append(INTERACTIONS, list(back.records(vault)))
                alone = worker(engine, stream, vault, settings)
                running = asyncio.create_task(alone.run())
                await scored(engine, stream)
                alone.stop()
                await running
            return await Digesting(engine, vault).run(at)


async def _send(http: httpx.AsyncClient, path: str, key: str, items: Iterator[Any]) -> None:
    while page := list(islice(items, _REQUEST)):
        body = msgspec.json.encode({"batch": page} if path == "/v1/batch" else page)
        response = await http.post(
            path, content=body, headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        )
        assert response.status_code in (200, 202), response.text


def _messages(script: Script, numbers: range, key: str) -> Iterator[Any]:
    """As Segment's own client makes them of its calls."""
    client = segment.Client(key, send=False)
    for number in numbers:
        for call in script.segment(number):
            _, message = client.track(**call)
            yield message
