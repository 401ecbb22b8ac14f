"""What operators see of a whole deployment: metrics, traces, logs, `tierwise top`, and how it stops."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.support import marked
from tests.support.database import TestServer
from tests.support.metrics import documented
from tests.support.otlp import Received, Receiver, receiver
from tests.support.scoring import scored
from tests.support.services import Deployment, Service, deployed, until
from tierwise.db.engine import open_engine
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import open_vault
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing
from tierwise.stream.topics import INTERACTIONS

SEEN_WITHIN_S = 20.0
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Seen:
    """A deployment that sends its traces to `traces`, and logs all that it ever logs."""

    deployment: Deployment
    ingest: Service
    scoring: Service
    api: Service
    traces: Receiver
    write: Mapping[str, str]
    read: Mapping[str, str]

    client: httpx.AsyncClient

    async def send(self, *items: object, **headers: str) -> httpx.Response:
        address = f"{self.ingest.url}/v1/interactions"
        return await self.client.post(address, json=items, headers={**self.write, **headers})

    async def until_traced(self, name: str, *, of: int = 1) -> list[Received]:
        async def there() -> bool:
            return len(self.traces.named(name)) >= of

        await until(there, within_s=SEEN_WITHIN_S, told=lambda: f"{self.traces.spans}\n{self.deployment.said()}")
        return self.traces.named(name)


@pytest.fixture(scope="module")
async def seen(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seen]:
    async with AsyncExitStack() as stack:
        traces = stack.enter_context(receiver())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        dsn = await stack.enter_async_context(postgres.database())
        deployment = await stack.enter_async_context(deployed(tmp_path_factory.mktemp("seen"), dsn))
        told = {"log_level": "debug", "log_format": "json", "webhook_allowed_networks": "127.0.0.0/8"}
        ingest, scoring, api = await deployment.start_all("ingest", "scoring", "profile-api", **told)
        write, read = await deployment.write_key("shop"), await key_to_everything(deployment)
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        yield Seen(deployment, ingest, scoring, api, traces, write, read, client)


async def key_to_everything(deployment: Deployment) -> Mapping[str, str]:
    async with open_engine(deployment.settings) as engine, engine.begin() as connection:
        vault = await open_vault(connection, deployment.settings)
        created = await create_read_key(connection, vault, name="operator", scopes=SCOPES)
    return {"Authorization": f"Bearer {created.secret}"}


def purchase(number: int, **fields: Any) -> dict[str, Any]:
    plain = {"id": f"p{number}", "channel": "order", "type": "purchase", "identifiers": {"user_id": f"u{number}"}}
    return {**plain, "properties": {"amount": "1299.00", "currency": "CNY"}, **fields}


async def test_a_trace_goes_from_the_request_over_the_stream_to_what_is_published(seen: Seen) -> None:
    assert (await seen.send(purchase(1), traceparent=CALLER)).status_code == 202
    (request, *_) = await seen.until_traced("ingest.request")
    assert (request.service, request.trace, request.parent) == ("tierwise-ingest", CALLER[3:35], CALLER[36:52])
    assert request.attributes["http.route"] == "/v1/interactions"
    assert request.attributes["http.response.status_code"] == 202

    (append, *_) = [span for span in await seen.until_traced("append") if span.service == "tierwise-ingest"]
    assert (append.trace, append.parent) == (request.trace, request.id)

    (batch, *_) = await seen.until_traced("scoring.batch")
    assert batch.links == [(append.trace, append.id)]
    assert batch.trace != request.trace

    (publish, *_) = await seen.until_traced("relay.publish")
    assert (batch.trace, batch.id) in publish.links
    appended = [span for span in seen.traces.named("append") if span.parent == publish.id]
    assert {span.attributes["messaging.destination.name"] for span in appended} >= {"customer.tier-changes"}


async def test_every_metric_that_is_documented_is_told_by_the_service_and_no_other(seen: Seen) -> None:
    told: set[str] = set()
    for service in (seen.ingest, seen.scoring, seen.api):
        metrics = (await seen.client.get(f"{service.url}/metrics")).text
        told |= set(re.findall(r"^# TYPE (\w+)", metrics, re.MULTILINE))
    assert told == {one.name for one in documented()}


async def test_every_service_tells_whether_it_lives_has_started_and_is_ready(seen: Seen) -> None:
    for service in (seen.ingest, seen.scoring, seen.api):
        for path in ("healthz", "startupz", "readyz"):
            assert (await seen.client.get(f"{service.url}/{path}")).status_code == 200, (service.name, path)


async def test_top_shows_what_is_going_on_and_whom_it_does_not_reach(seen: Seen) -> None:
    numbers = count(1_000)

    async def sending() -> None:
        while True:
            number = next(numbers)
            await seen.send(purchase(number), {"id": f"bad{number}"}, purchase(number, id=f"late{number}"))
            await asyncio.sleep(0.05)

    load = asyncio.create_task(sending())
    places = ("--ingest", seen.ingest.url, "--scoring", seen.scoring.url, "--profile-api", "http://127.0.0.1:9")
    shown = await seen.deployment.succeed("top", "--once", *places)
    load.cancel()
    assert re.search(r"profile-api +127.0.0.1:9 +not reached", shown)
    assert re.search(r"ingest +127.0.0.1:\d+ +serving +\d+ +\S+ ms +\d+% +\d+ MB +\d+/\d+", shown)
    assert re.search(r"accepted/s +[1-9]", shown)
    assert re.search(r"scored/s +[1-9]", shown)
    assert re.search(r"freshness p50 / p99 +[\d,.> ]+ m?s / ", shown)
    assert re.search(r"live connections +- ", shown)
    assert re.search(r"rejected +shop \w+ +\d+\.\d", shown)


async def test_sigterm_under_load_answers_what_it_accepted_and_resets_nobody(seen: Seen) -> None:
    ingest = await seen.deployment.start("ingest")
    write = await seen.deployment.write_key("drained")
    answered: set[str] = set()
    others: list[str] = []
    numbers = count()

    async def sender(client: httpx.AsyncClient) -> None:
        with suppress(httpx.ConnectError):  # it has stopped: nothing was sent
            while True:
                id_ = f"d{next(numbers)}"
                response = await client.post(f"{ingest.url}/v1/interactions", json=purchase(0, id=id_))
                answered.add(id_) if response.status_code == 202 else others.append(response.text)

    async def under_way() -> bool:
        return len(answered) > 100

    async with httpx.AsyncClient(headers=write, timeout=20, limits=httpx.Limits(max_connections=None)) as client:
        senders = [asyncio.create_task(sender(client)) for _ in range(24)]
        await until(under_way, within_s=SEEN_WITHIN_S, told=lambda: str(others))
        assert await ingest.stop() == 0
        await asyncio.gather(*senders)  # a connection that was reset would raise here
    assert others == []

    async def all_scored() -> bool:
        return await stored(seen, "drained") == answered

    await until(all_scored, within_s=SEEN_WITHIN_S, told=seen.deployment.said)


async def stored(seen: Seen, source: str) -> set[str]:
    """Ids of its interactions."""
    query = "SELECT held.id FROM interactions AS held JOIN sources ON sources.id = source_id WHERE sources.name = :name"
    async with open_engine(seen.deployment.settings) as engine, engine.connect() as connection:
        return set((await connection.execute(text(query), {"name": source})).scalars())


async def test_logs_traces_and_metrics_hold_nothing_of_a_person_whatever_happens(seen: Seen, short_dir: Path) -> None:
    deployment = seen.deployment
    async with httpx.AsyncClient(base_url=seen.ingest.url, headers=seen.write, timeout=20) as client:
        assert await marked.send_everything(client, "shop") > 100
    await append_poison(deployment)

    async def known() -> bool:
        address = f"{seen.api.url}/v1/customers/by/email/{marked.EMAIL}"
        return (await seen.client.get(address, headers=seen.read)).status_code == 200

    await until(known, within_s=SEEN_WITHIN_S, told=deployment.said)
    async with httpx.AsyncClient(base_url=seen.api.url, headers=seen.read, timeout=20) as client:
        await marked.ask_everything(client, seen.traces.url)
    await cut_connections(deployment)
    await until_all_is_scored(deployment)
    await seen.until_traced("relay.publish")

    told = deployment.said()
    for event in ("interactions_fail", "repeats_conflict", '"route": "/v1/customers/by/{kind}/{value:path}"'):
        assert event in told
    assert marked.found_in(told) == []
    assert marked.found_in(b"".join(seen.traces.bodies).decode("utf-8", "replace")) == []
    assert marked.found_in((short_dir / "postgres" / "server.log").read_text()) == []
    for service in (seen.ingest, seen.scoring, seen.api):
        assert marked.found_in((await seen.client.get(f"{service.url}/metrics")).text) == []


async def append_poison(deployment: Deployment) -> None:
    """Records that cannot be read, and one that the database refuses, as other producers may send them."""
    refused = marked.interaction("refused", source="shop", time="2026-11-20T02:00:00Z", received="2026-11-20T02:00:00Z")
    async with open_engine(deployment.settings) as engine:
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE interactions ADD CHECK (id <> 'refused')"))
            vault = await open_vault(connection, deployment.settings)
        async with open_stream(deployment.settings, engine, vault) as stream:
            values = (json.dumps(refused), json.dumps({"id": "x", "email": marked.EMAIL}), marked.EMAIL)
            await stream.append(INTERACTIONS, [Outgoing(b"k", value.encode()) for value in values])


async def cut_connections(deployment: Deployment) -> None:
    """All that the services have to the database."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    async with open_engine(deployment.settings) as engine, engine.connect() as connection:
        await connection.execute(text(query))


async def until_all_is_scored(deployment: Deployment) -> None:
    async with open_engine(deployment.settings) as engine:
        vault = await open_vault(engine, deployment.settings)
        async with open_stream(deployment.settings, engine, vault) as stream, asyncio.timeout(SEEN_WITHIN_S):
            await scored(engine, stream)
