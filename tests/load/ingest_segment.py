"""Segment's batches into Apache Kafka over HTTP, as its SDK for Python makes them: one service process."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from segment.analytics.client import Client  # type: ignore[import-untyped]

from tests.load.bench import Result, benchmark
from tests.load.ingest import ingest_on_kafka, measured

BATCH = 100
BATCHES = 200
EVENTS_IN_ALL = 300_000
CONNECTIONS = 32

_EVENTS = ("Product Viewed", "Product Added", "Order Completed", "Article Read", "Signed Up")


@benchmark("ingest-segment")
async def ingest_segment() -> AsyncIterator[Result]:
    """Batches of 100 tracks of about 470 bytes over 32 connections."""
    draw = random.Random(1)
    bodies = [batch(draw) for _ in range(BATCHES)]
    async with ingest_on_kafka() as service:
        await measured(service, bodies, requests=300, connections=CONNECTIONS, path="/v1/batch")
        requests = EVENTS_IN_ALL // BATCH
        sent, cpu_s = await measured(service, bodies, requests=requests, connections=CONNECTIONS, path="/v1/batch")
    yield Result(
        name="ingest-segment",
        value=EVENTS_IN_ALL / sent.seconds,
        unit=f"events/s of {len(bodies[0]) // BATCH} B",
        goal=60_000,
    )
    yield Result(
        name="ingest-segment-cpu",
        value=cpu_s / EVENTS_IN_ALL * 100_000,
        unit="CPU s of the service / 100,000",
        goal=2.0,
        lower_is_better=True,
    )
    yield Result(name="ingest-segment-p99", value=sent.latency_p99_ms, unit="ms at full load")


def batch(draw: random.Random) -> bytes:
    """The body of a request."""
    client, messages = Client("key", send=False), []
    for _ in range(BATCH):
        customer = draw.randrange(1_000_000)
        _, message = client.track(
            user_id=f"u{customer}",
            anonymous_id=f"5f0c3a1e-2b7d-4c55-9b1e-{customer:012x}",
            event=draw.choice(_EVENTS),
            properties={
                "path": f"/pricing/{draw.choice(('enterprise', 'team', 'free'))}",
                "title": "Pricing - Example",
                "referrer": "https://www.example.com/",
                "category": "courses",
                "revenue": draw.randrange(100_000) / 100,
                "currency": "CNY",
                "duration_s": draw.randrange(600),
            },
            message_id=UUID(int=draw.getrandbits(128)),
        )
        messages.append(message)
    return msgspec.json.encode({"batch": messages, "sentAt": datetime.now(UTC).isoformat(), "writeKey": "key"})
