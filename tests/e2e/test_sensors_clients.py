"""Sensors Analytics' own SDKs, unmodified, against the running product: N sent are N on the profile."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest
import sensorsanalytics as sa  # type: ignore[import-untyped]
from sensorsanalytics.sdk import (  # type: ignore[import-untyped]
    SensorsAnalyticsDebugException,
    SensorsAnalyticsNetworkException,
)

from tests.support.documented import examples, pasted
from tests.support.node import run_client
from tests.support.sensors import encoded
from tests.support.served import Served
from tests.support.services import until

# The SDK asks its threads whether they should end by a name that Python will drop.
pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")

WHEN = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)

CONSUMERS: dict[str, Callable[[str], Any]] = {
    "default": sa.DefaultConsumer,
    "batch": lambda url: sa.BatchConsumer(url, max_size=4),
    "async": lambda url: sa.AsyncBatchConsumer(url, flush_max_time=1, flush_size=5),
    "debug": sa.DebugConsumer,
}

_numbers = count(1)


@pytest.fixture
def user() -> str:
    """A customer, and the name of a source, that no other test has."""
    return f"sensors-{next(_numbers)}"


def ms(minutes: int) -> int:
    return int((WHEN + timedelta(minutes=minutes)).timestamp() * 1000)


async def url_of(product: Served, name: str, **source: Any) -> str:
    return f"{product.ingest.url}/sa?project=default&token={await product.source(name, **source)}"


@pytest.mark.parametrize("consumer", CONSUMERS)
async def test_every_consumer_brings_every_kind_of_message(product: Served, user: str, consumer: str) -> None:
    url = await url_of(product, user)

    def send() -> None:
        client = sa.SensorsAnalytics(CONSUMERS[consumer](url))
        client.track(f"c-{user}", "$pageview", {"$time": ms(0), "$url": "https://shop.example/pricing"})
        client.track_signup(user, f"c-{user}", {"$time": ms(1)})
        order = {"$time": ms(2), "order_actual_amount": 25.5, "product_classify": "books"}
        client.track(user, "PayOrder", order, is_login_id=True)
        client.profile_set(user, {"$time": ms(3), "$city": "上海", "plan": "a"}, is_login_id=True)
        client.profile_set_once(user, {"$time": ms(4), "plan": "b", "from": "fair"}, is_login_id=True)
        client.profile_increment(user, {"$time": ms(5), "points": 5}, is_login_id=True)
        client.profile_increment(user, {"$time": ms(6), "points": 7}, is_login_id=True)
        client.profile_append(user, {"likes": ["tea", "go"]}, is_login_id=True)
        client.profile_append(user, {"likes": ["go", "jazz"]}, is_login_id=True)
        client.profile_unset(user, {"plan": True, "$time": ms(7)}, is_login_id=True)
        client.item_set("book", "1", {"name": "Course"})
        client.close()

    await asyncio.to_thread(send)
    timeline = await product.timeline("user_id", user, of=10)
    kinds = [(one["channel"], one["type"]) for one in timeline]
    assert kinds[:3] == [("web", "page_view"), ("web", "signup"), ("order", "purchase")]
    assert set(kinds[3:]) == {("web", "profile_update")}
    times = [datetime.fromisoformat(one["time"]) for one in timeline]
    assert times[:8] == [WHEN + timedelta(minutes=minute) for minute in range(8)]
    assert timeline[0]["properties"]["path"] == "/pricing"
    assert timeline[5]["updates"] == {"add": {"points": 5}}
    view = await product.view("user_id", user)
    assert view["interactions"] == 3
    assert view["orders"]["amount"] == "25.50"
    assert sorted(view["attributes"].pop("likes")) == ["go", "jazz", "tea"]
    assert view["attributes"] == {
        "city": "上海",
        "region": "CN-31",
        "city_tier": "first",
        "from": "fair",
        "points": 12,
    }
    assert {one["kind"] for one in view["identifiers"]} == {"user_id", "anonymous_id"}


async def test_the_product_answers_the_same_after_everything_is_folded_again(product: Served, user: str) -> None:
    url = await url_of(product, user)

    def send() -> None:
        client = sa.SensorsAnalytics(sa.BatchConsumer(url))
        for minute in range(5):
            client.profile_increment(user, {"$time": ms(minute), "points": 2}, is_login_id=True)
        client.profile_set(user, {"$time": ms(2), "points": 100}, is_login_id=True)
        client.profile_append(user, {"address": ["Nanjing Road 1"]}, is_login_id=True)
        client.close()

    await asyncio.to_thread(send)
    await product.timeline("user_id", user, of=7)
    view = await product.view("user_id", user)
    assert view["attributes"]["points"] == 106
    assert view["attributes"]["address"] == ["N***"]
    await product.deployment.succeed("rebuild", "--customer", view["customer_id"], "--dry-run")


async def test_identities_of_the_new_way_tie_what_belongs_together(product: Served, user: str) -> None:
    url, email = await url_of(product, user), f"{user}@example.com"

    def send() -> None:
        client = sa.SensorsAnalytics(sa.DefaultConsumer(url))
        login, mail = (
            sa.SensorsAnalyticsIdentity("$identity_login_id", user),
            sa.SensorsAnalyticsIdentity("$identity_email", email),
        )
        client.track_by_id("click_banner", {"$time": ms(0)}, mail)
        client.bind(login, mail)
        client.profile_set_by_id({"plan": "a"}, login)
        client.unbind(mail)
        client.close()

    await asyncio.to_thread(send)
    timeline = await product.timeline("user_id", user, of=4)
    assert [one["type"] for one in timeline].count("click_banner") == 1
    assert (await product.view("email", email))["customer_id"] == (await product.view("user_id", user))["customer_id"]


async def test_a_resend_counts_once_and_a_tight_loop_counts_every_time(product: Served, user: str) -> None:
    url = await url_of(product, user)
    message = {"type": "track", "event": "x", "distinct_id": user, "time": ms(0), "_track_id": 1}
    unnumbered = {"type": "track", "event": "y", "distinct_id": user, "time": ms(1)}
    async with httpx.AsyncClient() as client:
        for _ in range(3):
            form = {"data_list": encoded([message, unnumbered, unnumbered], compressed=True), "gzip": "1"}
            assert (await client.post(url, data=form)).json()["accepted"] == 3
    assert len(await product.timeline("anonymous_id", user, of=3)) == 3


async def test_debug_mode_only_checks_where_it_is_told_so_and_names_what_is_wrong(product: Served, user: str) -> None:
    url = await url_of(product, user)

    def send() -> None:
        dry = sa.SensorsAnalytics(sa.DebugConsumer(url, write_data=False))
        dry.track(user, "dry", {"$time": ms(0)})
        wet = sa.SensorsAnalytics(sa.DebugConsumer(url))
        wet.track(user, "wet", {"$time": ms(1)})
        with pytest.raises(SensorsAnalyticsDebugException):
            wet.track(user, "PayOrder", {"amount": "lots"})

    await asyncio.to_thread(send)
    assert [one["type"] for one in await product.timeline("anonymous_id", user, of=1)] == ["wet"]


async def test_what_came_while_the_database_was_away_comes_with_the_next_try(product: Served, user: str) -> None:
    url = await url_of(product, user)
    client = sa.SensorsAnalytics(sa.BatchConsumer(url))
    client.track(user, "kept", {"$time": ms(0)})
    async with product.without_database():
        with pytest.raises(SensorsAnalyticsNetworkException):
            await asyncio.to_thread(client.flush)

    async def goes() -> bool:
        try:
            await asyncio.to_thread(client.flush)
        except SensorsAnalyticsNetworkException:
            return False
        return True

    await until(goes, within_s=20)
    assert len(await product.timeline("anonymous_id", user, of=1)) == 1


@pytest.mark.parametrize("batch", [False, True])
async def test_the_sdk_for_the_web_brings_what_a_visitor_does(product: Served, user: str, batch: bool) -> None:
    plan = {
        "page": f"{product.ingest.url}/pricing?utm_source=baidu",
        "server_url": await url_of(product, user),
        "batch": batch,
        "within_ms": 1_500,
        "calls": [
            ["quick", "autoTrackSinglePage"],
            ["track", "ViewProduct", {"product_id": "c-1"}],
            ["login", user],
            ["setProfile", {"plan": "a"}],
            ["setOnceProfile", {"from": "fair"}],
            ["incrementProfile", {"points": 3}],
            ["appendProfile", {"likes": ["tea"]}],
            ["bind", "$identity_email", f"{user}@example.com"],
        ],
    }
    anonymous_id = await run_client("sensors.mjs", plan)
    timeline = await product.timeline("user_id", user, of=8)
    kinds = [one["type"] for one in timeline]
    assert {"page_view", "product_view", "signup", "profile_update"} <= set(kinds)
    (viewed,) = [one for one in timeline if one["type"] == "page_view"]
    assert viewed["properties"]["path"] == "/pricing"
    view = await product.view("user_id", user)
    assert view["attributes"].items() >= {"plan": "a", "from": "fair", "points": 3, "likes": ["tea"]}.items()
    assert (await product.view("anonymous_id", anonymous_id))["customer_id"] == view["customer_id"]
    assert (await product.view("email", f"{user}@example.com"))["customer_id"] == view["customer_id"]


async def test_what_the_documentation_says_to_paste_works(product: Served, user: str) -> None:
    key = await product.source(user)
    blocks = examples("Sensors Analytics", key=key, ingest=product.ingest.url)
    assert len(blocks) == 2
    for language, text in blocks:
        await pasted(language, text)
    assert len(await product.timeline("user_id", "sensors-u7", of=2)) == 2


async def test_what_the_documentation_says_of_updates_works(product: Served, user: str) -> None:
    key = await product.source(user)
    for language, text in examples("Attributes that add up", key=key, ingest=product.ingest.url):
        await pasted(language, text)
    await product.timeline("user_id", "updates-u7", of=1)
    known = (await product.view("user_id", "updates-u7"))["attributes"]
    assert known == {"plan": "pro", "came_by": "fair", "points": 5, "likes": ["tea"]}
