"""Webhooks that ask for the changes of members of segments: who is one, and when."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.command import tierwise
from tests.support.deliveries import Endpoint, Webhooks, endpoint, webhooks
from tests.support.product import Product, page_view, purchase
from tierwise.db.rulebooks import Rulebooks
from tierwise.webhooks.log import add_replay
from tierwise.webhooks.registry import Subscription
from tierwise_scoring.segment_pass import SegmentPasses

BUYERS = {"name": "buyers", "filter": "orders >= 1"}
VISITORS = {"name": "visitors", "filter": "orders = 0"}
NOBODY = {"name": "nobody", "filter": "orders > 1000"}
ADDRESS = "https://crm.example/tierwise"
OF_BUYERS = {"aspects": ["tier", "lifecycle", "merge", "erase"], "segments": ["buyers"]}


@pytest.fixture
async def hooks(product: Product) -> AsyncIterator[Webhooks]:
    async with webhooks(product.engine, product.vault) as hooks:
        yield hooks


@pytest.fixture
async def receiver() -> AsyncIterator[Endpoint]:
    async with endpoint() as one:
        yield one


async def saved(client: httpx.AsyncClient, product: Product, *segments: dict[str, str]) -> None:
    for one in segments:
        assert (await client.post("/v1/segments", json=one)).status_code == 201
    await SegmentPasses(product.engine, Rulebooks()).pass_due()


async def told(hooks: Webhooks, receiver: Endpoint, subscription: Subscription) -> list[tuple[str, str, Any]]:
    """Whom what was sent since is about, which aspect, to what."""
    await hooks.send(subscription)
    events = [one.event["data"] for one in receiver.received]
    del receiver.received[:]
    kinds = ("merged", "split")
    return [
        (
            data["customer_id"],
            data.get("aspect") or next((kind for kind in kinds if kind in data), "erase"),
            data.get("to"),
        )
        for data in events
    ]


def visits(who: str, number: int) -> Any:
    return page_view(number, identifiers={"user_id": who})


def buys(who: str, number: int, amount: str = "900.00") -> Any:
    return purchase(number, amount, identifiers={"user_id": who})


async def id_of(product: Product, who: str) -> str:
    return str((await product.view("user_id", who))["customer_id"])


async def test_changes_are_sent_of_members_of_who_comes_by_them_and_of_who_leaves_by_them(
    product: Product, client: httpx.AsyncClient, hooks: Webhooks, receiver: Endpoint
) -> None:
    await saved(client, product, BUYERS, VISITORS, NOBODY)
    subscription, _ = await hooks.subscribe(receiver.url, filters={"aspects": ["lifecycle"], "segments": ["buyers"]})
    visiting, _ = await hooks.subscribe(receiver.url, filters={"aspects": ["lifecycle"], "segments": ["visitors"]})
    none, _ = await hooks.subscribe(receiver.url, filters={"segments": ["nobody"]})
    await product.append(visits("visitor", 1), buys("buyer", 2))
    await product.score()
    visitor, buyer = await id_of(product, "visitor"), await id_of(product, "buyer")
    [first] = await told(hooks, receiver, subscription)
    assert first[:2] == (buyer, "lifecycle")  # by this very change they come
    [met] = await told(hooks, receiver, visiting)
    assert met[:2] == (visitor, "lifecycle")

    await product.append(buys("visitor", 3))
    await product.score()
    [second] = await told(hooks, receiver, subscription)
    [last] = await told(hooks, receiver, visiting)
    assert second == last  # it takes them from the one to the other
    assert second[0] == visitor
    await product.append(buys("visitor", 4, "90000.00"), buys("visitor", 5, "90000.00"), buys("visitor", 6, "90000.00"))
    await product.score()
    assert await told(hooks, receiver, visiting) == []
    assert await told(hooks, receiver, none) == []


async def test_what_waited_is_judged_by_who_was_a_member_then(
    product: Product, client: httpx.AsyncClient, hooks: Webhooks, receiver: Endpoint
) -> None:
    await saved(client, product, BUYERS)
    subscription, _ = await hooks.subscribe(receiver.url, filters=OF_BUYERS)
    await product.append(visits("late", 1), buys("early", 2))
    await product.score()
    await product.append(buys("late", 3))  # a member only now
    await product.score()
    early, late = await id_of(product, "early"), await id_of(product, "late")
    stages = [one for one in await told(hooks, receiver, subscription) if one[1] == "lifecycle"]
    assert sorted(one[0] for one in stages) == sorted([early, late])  # of the later one only the second change

    # Of everything once more, after both were merged and the one that stays was erased.
    await product.append(page_view(4, identifiers={"user_id": "early", "email": "both@example.com"}))
    await product.append(page_view(5, identifiers={"user_id": "late", "email": "both@example.com"}))
    await product.score()
    merges = [one for one in await told(hooks, receiver, subscription) if one[1] == "merged"]
    winner = await id_of(product, "late")
    assert merges == [(winner, "merged", None)]
    erased = await client.post(f"/v1/customers/{winner}/erase", json={"reason": "They asked for it"})
    assert erased.status_code == 202, erased.text
    await product.score()
    assert await told(hooks, receiver, subscription) == [(winner, "erase", None)]
    now = datetime.now(UTC)
    async with hooks.engine.begin() as connection:
        await add_replay(connection, subscription.id, now - timedelta(hours=1), now + timedelta(hours=1))
    again = await told(hooks, receiver, subscription)
    assert [one for one in again if one[1] == "lifecycle"][: len(stages)] == stages
    assert {one[1] for one in again} >= {"merged", "erase"}


async def test_coming_and_going_itself_is_sent_and_a_pass_only_to_who_asks_for_its_cause(
    product: Product, client: httpx.AsyncClient, hooks: Webhooks, receiver: Endpoint
) -> None:
    await product.append(buys("old", 1))
    await product.score()
    await client.post("/v1/segments", json=BUYERS)
    subscription, _ = await hooks.subscribe(receiver.url, filters={"aspects": ["segment"], "segments": ["buyers"]})
    asking, _ = await hooks.subscribe(receiver.url, filters={"causes": ["segment"], "segments": ["buyers"]})
    await SegmentPasses(product.engine, Rulebooks()).pass_due()
    assert await told(hooks, receiver, subscription) == []
    old = await id_of(product, "old")
    assert await told(hooks, receiver, asking) == [(old, "segment:buyers", "member")]
    await product.append(buys("new", 2))
    await product.score()
    assert await told(hooks, receiver, subscription) == [(await id_of(product, "new"), "segment:buyers", "member")]


async def test_a_segment_has_to_be_there_and_stays_while_a_subscription_names_it(
    product: Product, client: httpx.AsyncClient
) -> None:
    body = {"url": ADDRESS, "filters": OF_BUYERS}
    refused = await client.post("/v1/subscriptions", json=body)
    assert (refused.status_code, refused.json()["field"]) == (400, "filters.segments")
    assert "'buyers'" in refused.json()["detail"]
    made = await tierwise(product.settings, "webhook", "create", ADDRESS, "--segment", "buyers")
    assert (made.status, "filters.segments" in made.stderr) == (2, True)

    await saved(client, product, BUYERS, VISITORS)
    path = f"/v1/subscriptions/{(await client.post('/v1/subscriptions', json=body)).json()['subscription']['id']}"
    kept = await client.delete("/v1/segments/buyers")
    assert (kept.status_code, kept.json()["code"]) == (409, "segment_in_use")
    assert kept.json()["subscriptions"] == [path.rpartition("/")[2]]
    unknown = await client.patch(path, json={"filters": {"segments": ["sellers"]}})
    assert (unknown.status_code, unknown.json()["field"]) == (400, "filters.segments")
    changed = await client.patch(path, json={"filters": {"segments": ["visitors"]}})
    assert changed.json()["filters"]["segments"] == ["visitors"]
    assert (await client.delete("/v1/segments/buyers")).status_code == 204
    assert (await client.delete("/v1/segments/visitors")).status_code == 409
