"""Clients that retry: what they say is said again until it is acknowledged, and only then noted down."""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import segment.analytics.client as segment  # type: ignore[import-untyped]

from tests.torture.journal import Journal
from tests.torture.said import NATIVE, SEGMENT, Script, is_ruled_of
from tests.torture.writer import Writer

QUIET_WITHIN_S = 90.0
_PAUSE_S = 0.3
_EVERY_S = 0.2
_TIMEOUT_S = 20.0


@dataclass
class Clients:
    """`flowing`: whether they may begin another batch. `wrong`: what a client should never see."""

    script: Script
    journal: Journal
    ingest: str
    api: str
    write_keys: Mapping[str, str]
    read_key: str
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    _under_way: int = 0
    _seen: dict[str, int] = field(default_factory=dict)
    _writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        self._writer = Writer(self.script, self.journal, self.api, self.read_key, self.flowing, self.wrong)

    @property
    def sent_again(self) -> int:
        """Requests that were refused, or whose answer was lost."""
        return self.refused + self._writer.refused

    async def run(self) -> None:
        """Until cancelled, which is best done while they are quiet."""
        async with asyncio.TaskGroup() as group:
            for client in NATIVE:
                group.create_task(self._native(client))
            group.create_task(self._segment())
            group.create_task(self._reader())
            group.create_task(self._writer.run())

    async def quiet(self) -> None:
        """Begin nothing more; returns when all that was begun is acknowledged. Raises TimeoutError."""
        self.flowing.clear()
        async with asyncio.timeout(QUIET_WITHIN_S):
            while self._under_way or self._writer.under_way:  # noqa: ASYNC110  (it is looked at once a kill)
                await asyncio.sleep(0.01)

    async def _native(self, client: str) -> None:
        headers = {"Authorization": f"Bearer {self.write_keys[client]}"}
        async with httpx.AsyncClient(base_url=self.ingest, headers=headers, timeout=_TIMEOUT_S) as http:
            while True:
                await self.flowing.wait()
                number = self.journal.next(client)
                self._under_way += 1
                await self._until_accepted(http, self.script.native(client, number))
                self.journal.acknowledged(client, number)
                self._under_way -= 1
                await asyncio.sleep(_EVERY_S)

    async def _until_accepted(self, http: httpx.AsyncClient, items: list[dict[str, Any]]) -> None:
        while True:
            try:
                response = await http.post("/v1/interactions", json=items)
            except httpx.TransportError:
                self.refused += 1
            else:
                if response.status_code == 202 and response.json()["accepted"] == len(items):
                    return
                self.refused += 1
                if response.status_code != 503 or "retry-after" not in response.headers:
                    self.wrong.append(f"ingest answered {response.status_code}: {response.text[:300]}")
            await asyncio.sleep(_PAUSE_S)

    async def _segment(self) -> None:
        """Segment's own client, with its own retries; what it gives up is handed to it again."""
        given_up: list[Exception] = []
        logging.getLogger("segment").setLevel(logging.CRITICAL)
        client = segment.Client(
            self.write_keys[SEGMENT],
            host=self.ingest,
            on_error=lambda error, _: given_up.append(error),
            upload_interval=0.05,
            upload_size=8,
            timeout=_TIMEOUT_S,
        )
        try:
            while True:
                await self.flowing.wait()
                number = self.journal.next(SEGMENT)
                self._under_way += 1
                while True:
                    given_up.clear()
                    for call in self.script.segment(number):
                        client.track(**call)
                    await asyncio.to_thread(client.flush)
                    if not given_up:
                        break
                    self.refused += len(given_up)
                self.journal.acknowledged(SEGMENT, number)
                self._under_way -= 1
                await asyncio.sleep(_EVERY_S)
        finally:
            client.shutdown()

    async def _reader(self) -> None:
        """What was once shown is never taken back: a customer's interactions only become more, but for a ruling."""
        draw = random.Random()
        headers = {"Authorization": f"Bearer {self.read_key}"}
        async with httpx.AsyncClient(base_url=self.api, headers=headers, timeout=_TIMEOUT_S) as http:
            while True:
                kind, value = self.script.someone(draw, self.journal.next(NATIVE[0]))
                try:
                    response = await http.get(f"/v1/customers/by/{kind}/{value}")
                except httpx.TransportError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if response.status_code == 200:
                    self._compare(value, response.json()["interactions"])
                elif response.status_code not in (404, 503) or (response.status_code == 404 and value in self._seen):
                    self.wrong.append(f"profile API answered {response.status_code}: {response.text[:300]}")
                await asyncio.sleep(_EVERY_S / 4)

    def _compare(self, value: str, interactions: int) -> None:
        if interactions < self._seen.get(value, 0) and not is_ruled_of(value):
            self.wrong.append(f"{value} had {self._seen[value]} interactions and then {interactions}")
        self._seen[value] = interactions
