"""Other systems follow the topics: from a snapshot on, and with the programs that docs/subscribe.md shows."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jsonschema_rs
import msgspec

from tests.support.node import running_module
from tests.support.pages import blocks
from tests.support.published import Event, own_topics, published_in_tables, published_on_kafka
from tests.support.services import Deployment, until
from tests.support.subscribing import Printing, data_of, subscribed, tier_event
from tierwise.domain.customer_id import public_id
from tierwise.publishing.kinds import KINDS
from tierwise.publishing.schemas import SCHEMAS
from tierwise.stream.kafka import KafkaStream
from tierwise.stream.topics import MERGES, PUBLISHED, TIER_CHANGES

KNOWN_WITHIN_S = 30.0
PEOPLE = 40


def purchases(numbers: range, amount: str) -> list[dict[str, Any]]:
    start = datetime.now(UTC) - timedelta(days=1)
    return [
        {
            "id": f"{amount}-{number}", "time": (start + timedelta(seconds=number)).isoformat(),
            "channel": "order", "type": "purchase", "identifiers": {"user_id": f"u{number}"},
            "properties": {"amount": amount, "currency": "CNY"},
        }
        for number in numbers
    ]  # fmt: skip


def links(numbers: range) -> list[dict[str, Any]]:
    """Every other person turns out to be the next one."""
    pairs = [(f"u{number}", f"e{number}@example.com") for number in numbers if number % 2 == 0]
    pairs += [(f"u{number + 1}", email) for number, (_, email) in zip(range(0, len(pairs) * 2, 2), pairs, strict=True)]
    time = datetime.now(UTC).isoformat()
    return [
        {"id": f"link-{user}", "time": time, "channel": "web", "type": "login",
         "identifiers": {"user_id": user, "email": email}}
        for user, email in pairs
    ]  # fmt: skip


def followed(snapshot: dict[str, str], tiers: list[dict[str, Any]], merges: list[dict[str, Any]]) -> dict[str, str]:
    """The tiers of a snapshot after what came behind its positions, as docs/subscribe.md tells."""
    known = dict(snapshot)
    for change in tiers:
        if change["from"] is None or change["customer_id"] in known:
            known[change["customer_id"]] = change["to"]
    for merge in merges:
        for loser in merge["merged"]:
            known.pop(loser, None)
    return known


async def test_a_snapshot_and_what_follows_make_the_later_export(deployment: Deployment) -> None:
    ingest, _, api = await deployment.start_all("ingest", "scoring", "profile-api")
    write, read = await deployment.write_key("shop"), await deployment.read_key("crm")
    async with (
        httpx.AsyncClient(base_url=ingest.url, headers=write, timeout=30) as sending,
        httpx.AsyncClient(base_url=api.url, headers=read, timeout=30) as reading,
    ):

        async def send(items: list[dict[str, Any]]) -> None:
            answer = (await sending.post("/v1/interactions", json=items)).json()
            assert answer["accepted"] == len(items), answer

        async def export() -> tuple[str, list[dict[str, Any]]]:
            response = await reading.get("/v1/export")
            lines = [msgspec.json.decode(line) for line in response.content.splitlines()]
            return response.headers["Tierwise-Positions"], lines

        async def scored(interactions: int) -> None:
            async def all_there() -> bool:
                return sum(int(view["interactions"]) for view in (await export())[1]) == interactions

            await until(all_there, within_s=KNOWN_WITHIN_S, told=deployment.said)

        await send(purchases(range(PEOPLE), "90.00"))
        await scored(PEOPLE)
        await send(purchases(range(PEOPLE + 10), "900.00"))  # while these are scored the snapshot is taken
        positions, views = await export()
        snapshot = {view["customer_id"]: view["tier"]["grade"] for view in views}
        assert set(PUBLISHED) == {part.partition("=")[0] for part in positions.split(",")}
        await send(links(range(PEOPLE)))
        await send(purchases(range(5, 20), "30000.00"))
        await scored(PEOPLE + PEOPLE + 10 + PEOPLE + 15)
        later = {view["customer_id"]: view["tier"]["grade"] for view in (await export())[1]}
    assert len(later) == PEOPLE + 10 - PEOPLE // 2

    options = ("--from", positions, "--json")
    async with (
        subscribed(deployment, TIER_CHANGES, *options) as tiers,
        subscribed(deployment, MERGES, *options) as merges,
    ):

        def state() -> dict[str, str]:
            return followed(snapshot, [*map(data_of, tiers.lines)], [*map(data_of, merges.lines)])

        async def equal() -> bool:
            return state() == later

        await until(equal, within_s=KNOWN_WITHIN_S, told=lambda: f"{state()}\n{later}\n{deployment.said()}")
        for one in (tiers, merges):
            assert "go on with --from" in await one.interrupt()
    await _check_schemas(deployment)


_NOT_ASKED_FOR = {"customer.segment-changes", "customer.erasures"}
"""Nobody made a segment here, or asked to be forgotten."""


async def _check_schemas(deployment: Deployment) -> None:
    if deployment.bootstrap_servers is None:
        events: list[Event] = await published_in_tables(deployment.dsn, deployment.directory)
    else:
        events = await published_on_kafka(deployment.bootstrap_servers)
    of_topic = {kind.topic: jsonschema_rs.validator_for(dict(SCHEMAS[kind.type])) for kind in KINDS}
    assert {event.topic for event in events} == set(PUBLISHED) - _NOT_ASKED_FOR
    for event in events:
        of_topic[event.topic].validate(event.data)


def page(kind: str) -> str:
    """The one program of this language in docs/subscribe.md."""
    [program] = [block.text for block in blocks("docs/subscribe.md") if block.kind == kind]
    assert len(program.splitlines()) <= 40
    return program


async def test_the_subscribers_of_the_page_drop_repeats_and_keep_each_customers_order(bootstrap_servers: str) -> None:
    told = [(1, 1, None, "D"), (2, 1, None, "C"), (1, 2, "D", "C"), (2, 3, "C", "A"), (1, 5, "C", "B")]
    events = [tier_event(*one) for one in told]
    wanted = sorted(f"{public_id(customer)}:{sequence} {to}" for customer, sequence, _, to in told)
    stream = KafkaStream(bootstrap_servers, replication_factor=1, retention_hours=1)
    async with own_topics(bootstrap_servers), stream:
        await stream.create_topics(dict.fromkeys(PUBLISHED, 2))
        # After a crash the relay publishes a stretch again.
        await stream.append(TIER_CHANGES, [*events[:4], *events[1:]])
        python = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", page("python")),
            env=os.environ | {"KAFKA": bootstrap_servers},
            stdout=asyncio.subprocess.PIPE,
        )
        async with running_module(page("js"), KAFKA=bootstrap_servers) as node:
            for printing in (Printing(python), Printing(node)):
                lines = await printing.until(lambda lines: len(lines) >= len(wanted))
                assert sorted(lines) == wanted
                for customer in (1, 2):
                    ids = [line.split()[0] for line in lines if line.startswith(public_id(customer))]
                    assert ids == sorted(ids)
                await printing.close()
