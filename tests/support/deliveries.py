"""Deliveries in a test: an endpoint that is there, and couriers whose clock stands where the test says."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, NamedTuple

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.services import free_port
from tierwise.db.tables import deliveries, subscriptions
from tierwise.security.personal import Vault
from tierwise.webhooks.document import read_subscription
from tierwise.webhooks.log import delivery_document, list_deliveries
from tierwise.webhooks.registry import Subscription, create_subscription, find_subscription, update_subscription
from tierwise_scoring.webhooks.courier import Courier, Post
from tierwise_scoring.webhooks.metrics import WebhookMetrics
from tierwise_scoring.webhooks.sender import Sender

LOOPBACK = ip_network("127.0.0.0/8")
PATIENCE_S = 15.0


class Received(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return msgspec.json.decode(self.body)


class Answer(NamedTuple):
    status: int = 204
    headers: Mapping[str, str] = {}
    body: bytes = b""


async def _thanks(_: Received) -> Answer:
    return Answer()


@dataclass
class Endpoint:
    """An HTTP server on the loopback. `answer`: what it says to a request, when it says it."""

    port: int
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Awaitable[Answer]] = _thanks

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    def says(self, *statuses: int, **headers: str) -> None:
        """One after another, the last one from then on."""
        left = list(statuses)

        async def answer(_: Received) -> Answer:
            return Answer(left.pop(0) if len(left) > 1 else left[0], headers)

        self.answer = answer

    async def until(self, count: int) -> list[Received]:
        """Fails where fewer come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.received) < count:  # noqa: ASYNC110  (the server has no event for it)
                await asyncio.sleep(0.01)
        return self.received

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["raw_path"].decode() + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        one = Received(scope["method"], path, headers, body)
        self.received.append(one)
        answer = await self.answer(one)
        told = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        await send({"type": "http.response.body", "body": answer.body})


@asynccontextmanager
async def endpoint(**config: Any) -> AsyncIterator[Endpoint]:
    """`config`: more of uvicorn's, as for TLS."""
    one = Endpoint(free_port())
    server = uvicorn.Server(
        uvicorn.Config(one, host="127.0.0.1", port=one.port, lifespan="off", log_config=None, ws="none", **config)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    yield one
    server.should_exit = server.force_exit = True
    await serving


class Clock:
    """Stands still; Webhooks.later moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Webhooks:
    """Of one database."""

    engine: AsyncEngine
    vault: Vault
    post: Post
    clock: Clock

    async def subscribe(self, url: str, **given: Any) -> tuple[Subscription, str]:
        """The subscription and its secret. `given`: as in its document."""
        async with self.engine.begin() as connection:
            return await create_subscription(connection, self.vault, read_subscription({"url": url, **given}))

    async def shown(self, subscription: Subscription) -> Subscription:
        return await self.shown_by(subscription.id)

    async def shown_by(self, subscription_id: str) -> Subscription:
        async with self.engine.begin() as connection:
            return await find_subscription(connection, self.vault, subscription_id)

    async def later(self, **of: float) -> None:
        """So much later: what is scheduled comes nearer by it, and signatures are of then."""
        passed = timedelta(**of)
        self.clock.now += passed
        async with self.engine.begin() as connection:
            for table, column in ((deliveries, deliveries.c.due), (subscriptions, subscriptions.c.paused_until)):
                await connection.execute(update(table).values({column: column - passed}))

    async def change(self, subscription: Subscription, **patch: Any) -> Subscription:
        async with self.engine.begin() as connection:
            return await update_subscription(connection, self.vault, subscription.id, patch)

    async def log(self, subscription: Subscription) -> list[dict[str, Any]]:
        """The oldest delivery first."""
        async with self.engine.begin() as connection:
            rows = await list_deliveries(connection, subscription.id, limit=200)
        return [delivery_document(row) for row in reversed(rows)]

    async def send(self, subscription: Subscription) -> None:
        """All that is due, by a courier of its own."""
        courier = Courier(self.post, subscription.id)
        while await courier.round():
            pass


@asynccontextmanager
async def webhooks(engine: AsyncEngine, vault: Vault) -> AsyncIterator[Webhooks]:
    """That may go to the loopback."""
    clock = Clock()
    async with Sender([LOOPBACK]) as one:
        metrics = WebhookMetrics(CollectorRegistry())
        yield Webhooks(engine, vault, Post(engine, vault, one, metrics, clock, draw=random.Random(1)), clock)
