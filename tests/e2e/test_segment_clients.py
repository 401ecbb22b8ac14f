"""Segment's and RudderStack's own clients, unmodified, against the running product: N sent are N on the profile."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import httpx
import pytest
import rudderstack.analytics.client as rudderstack  # type: ignore[import-untyped]
import segment.analytics.client as segment  # type: ignore[import-untyped]

from tests.support.documented import examples, pasted
from tests.support.node import run_client
from tests.support.served import Served
from tests.support.services import until

WHEN = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
ORDER = {"revenue": 25.5, "currency": "CNY", "products": [{"sku": "a", "quantity": 2, "category": "books"}]}


class Client(Protocol):
    """What the clients for Python have in common."""

    def identify(self, **message: Any) -> Any: ...
    def track(self, **message: Any) -> Any: ...
    def page(self, **message: Any) -> Any: ...
    def screen(self, **message: Any) -> Any: ...
    def group(self, **message: Any) -> Any: ...
    def alias(self, **message: Any) -> Any: ...
    def shutdown(self) -> None: ...


Opened = Callable[..., Client]


@pytest.fixture(params=[segment.Client, rudderstack.Client], ids=["segment", "rudderstack"])
def opened(request: pytest.FixtureRequest, product: Served) -> Iterator[Opened]:
    """A client of each kind; an upload that it gave up is a failure."""
    failed: list[Exception] = []

    def on_error(error: Exception, _: object) -> None:
        failed.append(error)

    def open_client(key: str, **options: Any) -> Client:
        made: Client = request.param(key, host=product.ingest.url, on_error=on_error, **options)
        return made

    yield open_client
    assert failed == []


_numbers = count(1)


@pytest.fixture
def user() -> str:
    """A customer, and the name of a source, that no other test has."""
    return f"segment-{next(_numbers)}"


async def test_every_verb_is_on_the_timeline_with_its_time_type_and_identifiers(
    product: Served, opened: Opened, user: str
) -> None:
    key = await product.source(user)
    client = opened(key, gzip=True)
    at = iter([WHEN + timedelta(minutes=minute) for minute in range(6)])
    client.page(anonymous_id=f"a-{user}", name="Pricing", properties={"path": "/pricing"}, timestamp=next(at))
    traits = {"email": f"{user}@Example.com", "address": {"city": "上海"}, "firstName": "Li"}
    client.identify(user_id=user, traits=traits, timestamp=next(at))
    client.track(user_id=user, event="Order Completed", properties=ORDER, timestamp=next(at), message_id=f"o-{user}")
    client.screen(user_id=user, name="Cart", timestamp=next(at))
    client.group(user_id=user, group_id="g1", traits={"name": "Example", "employees": 120}, timestamp=next(at))
    client.alias(previous_id=f"a-{user}", user_id=user, timestamp=next(at))
    await asyncio.to_thread(client.shutdown)

    timeline = await product.timeline("user_id", user, of=6)
    kinds = [(one["channel"], one["type"]) for one in timeline]
    profile = ("web", "profile_update")
    assert kinds == [("web", "page_view"), profile, ("order", "purchase"), ("web", "page_view"), profile, profile]
    times = [datetime.fromisoformat(one["time"]) for one in timeline]
    assert times == [WHEN + timedelta(minutes=minute) for minute in range(6)]
    assert timeline[2]["id"] == f"o-{user}"
    assert (timeline[2]["properties"]["amount"], timeline[2]["properties"]["items"]) == ("25.5", 2)
    view = await product.view("user_id", user)
    assert view["interactions"] == 3
    assert view["orders"]["count"] == 1
    assert view["attributes"].items() >= {"city": "上海", "company": "Example", "company_size": "small"}.items()
    kinds_known = {one["kind"] for one in view["identifiers"]}
    assert kinds_known == {"user_id", "email", "anonymous_id"}
    assert (await product.view("email", f"{user}@example.com"))["customer_id"] == view["customer_id"]


async def test_batches_are_whole_and_a_resend_counts_once(product: Served, opened: Opened, user: str) -> None:
    key = await product.source(user)
    for _ in range(2):
        client = opened(key, upload_size=40)
        for number in range(130):
            client.track(user_id=user, event="Article Read", properties={"n": number}, message_id=f"{user}-{number}")
        await asyncio.to_thread(client.shutdown)
    client = opened(key, sync_mode=True)
    await asyncio.to_thread(client.track, user_id=user, event="Last", message_id=f"{user}-last")
    timeline = await product.timeline("user_id", user, of=131)
    assert sorted(one["properties"].get("n", 130) for one in timeline) == list(range(131))
    assert (await product.view("user_id", user))["interactions"] == 131


async def test_a_client_that_is_told_to_slow_down_delivers_all(product: Served, opened: Opened, user: str) -> None:
    key = await product.source(user, rate_limit={"per_second": 200, "burst": 50})
    slowed = await refused(product, "429")
    client = opened(key, upload_size=50, upload_interval=0.1)
    for number in range(150):
        client.track(user_id=user, event="Article Read", message_id=f"{user}-{number}")
    await asyncio.to_thread(client.shutdown)
    await product.timeline("user_id", user, of=150)
    assert (await product.view("user_id", user))["interactions"] == 150
    assert await refused(product, "429") > slowed


async def test_a_client_waits_for_a_stream_that_is_away(product: Served, opened: Opened, user: str) -> None:
    key = await product.source(user)
    client = opened(key, upload_size=10, upload_interval=0.1)
    client.track(user_id=user, event="Before")
    await product.timeline("user_id", user, of=1)
    before = await refused(product, "503")
    async with product.without_database():
        for number in range(20):
            client.track(user_id=user, event="Meanwhile", message_id=f"{user}-{number}")

        async def noticed() -> bool:
            return await refused(product, "503") > before

        await until(noticed, within_s=10)
    await asyncio.to_thread(client.shutdown)
    await product.timeline("user_id", user, of=21)
    assert (await product.view("user_id", user))["interactions"] == 21


async def test_a_wrong_key_is_told_at_once_and_not_sent_again(product: Served) -> None:
    told: list[tuple[Exception, list[Any]]] = []
    for kind in (segment.Client, rudderstack.Client):
        client = kind("tw_wrong", host=product.ingest.url, on_error=lambda error, batch: told.append((error, batch)))
        client.track(user_id="u1", event="E")
        await asyncio.to_thread(client.shutdown)
    assert [getattr(error, "status", None) for error, _ in told] == [401, 401]
    assert all(getattr(error, "code", None) == "unauthorized" for error, _ in told)


async def test_the_client_for_node_delivers_every_verb_and_waits_when_told(product: Served, user: str) -> None:
    key = await product.source(user, rate_limit={"per_second": 200, "burst": 20})
    at = [(WHEN + timedelta(minutes=minute)).isoformat() for minute in range(6)]
    calls = [
        ("page", {"anonymousId": f"a-{user}", "name": "Pricing", "timestamp": at[0]}),
        ("identify", {"userId": user, "traits": {"email": f"{user}@example.com"}, "timestamp": at[1]}),
        ("track", {"userId": user, "event": "Order Completed", "properties": ORDER, "timestamp": at[2]}),
        ("screen", {"userId": user, "name": "Cart", "timestamp": at[3]}),
        ("group", {"userId": user, "groupId": "g1", "traits": {"name": "Example"}, "timestamp": at[4]}),
        ("alias", {"userId": user, "previousId": f"a-{user}", "timestamp": at[5]}),
        *(("track", {"userId": user, "event": "Article Read", "messageId": f"{user}-{n % 50}"}) for n in range(60)),
    ]
    plan = {"host": product.ingest.url, "writeKey": key, "flushAt": 20, "calls": calls}
    slowed = await refused(product, "429")
    assert await run_client("segment.mjs", plan) == []
    timeline = await product.timeline("user_id", user, of=56)
    assert [one["type"] for one in timeline[:6]] == [
        *("page_view", "profile_update", "purchase", "page_view", "profile_update", "profile_update")
    ]
    assert [datetime.fromisoformat(one["time"]) for one in timeline[:6]] == [datetime.fromisoformat(one) for one in at]
    assert (await product.view("user_id", user))["interactions"] == 53
    assert await refused(product, "429") > slowed


async def test_what_the_document_says_to_paste_works(product: Served, user: str) -> None:
    key = await product.source(user)
    blocks = [
        *examples("Segment's SDKs", key=key, ingest=product.ingest.url),
        *examples("RudderStack", key=key, ingest=product.ingest.url),
    ]
    assert [language for language, _ in blocks] == ["python", "js", "sh", "python", "html", "sh"]
    for language, text in blocks:
        await pasted(language, text)
    bought = await product.timeline("user_id", "u7", of=5)
    types = sorted(one["type"] for one in bought)
    assert types == ["product_view", "product_view", "profile_update", "purchase", "webhook_source_event"]
    assert [one["type"] for one in await product.timeline("anonymous_id", "visitor-7", of=1)] == ["page_view"]


async def refused(product: Served, status: str) -> float:
    """Requests to /v1/batch that were answered so."""
    async with httpx.AsyncClient(base_url=product.ingest.url) as client:
        metrics = (await client.get("/metrics")).text
    line = f'tierwise_ingest_http_requests_total{{method="POST",route="/v1/batch",status="{status}"}} '
    return next((float(found.removeprefix(line)) for found in metrics.splitlines() if found.startswith(line)), 0.0)
