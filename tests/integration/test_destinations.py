"""Destinations: changes in another system's own form, by the queue that webhooks have."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from tests.support.deliveries import Endpoint, Webhooks, endpoint, webhooks
from tests.support.live import record
from tests.support.stored import happened, store_customer
from tierwise.db.tables import audit, subscriptions
from tierwise.domain.customer_id import public_id
from tierwise.security.personal import Vault
from tierwise.webhooks.log import add_test
from tierwise.webhooks.registry import subscription_document

LI, WANG = 1, 2
SECRET = "Bearer 5f0c9a1e"
REQUEST: dict[str, Any] = {
    "method": "PATCH",
    "headers": {"Authorization": SECRET},
    "body": {
        "Tier": "{{ change.to }}",
        "Grade": "{{ customer.tier.grade }}",
        "Browsing": "{{ customer.tags.browsing }}",
        "Name": "{{ customer.attributes.name }}",
        "Note": "Was {{ change.from }}",
    },
}
CONTACT = "/contacts/{{ customer.identifiers.crm_id }}"


@pytest.fixture
async def crm() -> AsyncIterator[Endpoint]:
    async with endpoint() as one:
        yield one


@pytest.fixture
async def hooks(engine: AsyncEngine, vault: Vault) -> AsyncIterator[Webhooks]:
    async with engine.begin() as connection:
        for number, identifiers in ((LI, {"crm_id": "003/17", "email": "li@example.com"}), (WANG, {"user_id": "w"})):
            visit = happened("web", "page_view", "2026-11-01T08:00:00+00:00", id=f"v{number}", identifiers=identifiers,
                             attributes={"name": "李雷"})  # fmt: skip
            await store_customer(connection, vault, number, [visit])
    async with webhooks(engine, vault) as hooks:
        yield hooks


async def changed(hooks: Webhooks, *customers: int) -> None:
    async with hooks.engine.begin() as connection:
        for customer in customers:
            await record(connection, customer, 100)


async def test_a_change_comes_in_the_systems_own_form_with_how_the_customer_stands(
    hooks: Webhooks, crm: Endpoint
) -> None:
    _, secret = await hooks.subscribe(crm.url + CONTACT, request=REQUEST)
    await changed(hooks, LI)
    async with hooks.engine.connect() as connection:
        [row] = await connection.execute(select(subscriptions))
    await hooks.send(await hooks.shown_by(row.id))
    [one] = crm.received
    assert (one.method, one.path, one.headers["authorization"]) == ("PATCH", "/hook/contacts/003%2F17", SECRET)
    assert one.headers["content-type"] == "application/json"
    assert one.event == {"Tier": "B", "Grade": "E", "Browsing": "low", "Name": "李雷", "Note": "Was C"}
    assert one.id == f"{public_id(LI)}:100"
    assert Webhook(secret).verify(one.body, dict(one.headers)) == one.event
    async with hooks.engine.connect() as connection:
        [left] = await connection.execute(select(audit))
    assert (left.reader, left.customer_id, left.what) == (row.id, LI, f"PATCH 127.0.0.1:{crm.port}")


async def test_a_customer_whom_the_address_cannot_name_is_told_of_and_holds_up_nobody(
    hooks: Webhooks, crm: Endpoint
) -> None:
    destination, _ = await hooks.subscribe(crm.url + CONTACT, request=REQUEST)
    await changed(hooks, WANG)
    await hooks.send(destination)
    [refused] = await hooks.log(destination)
    assert refused["state"] == "failed"
    assert [(one["status"], one["error"]) for one in refused["attempts"]] == [
        (None, "the customer has no customer.identifiers.crm_id, which stands in the address")
    ]
    await changed(hooks, LI)
    await hooks.send(destination)
    assert len(crm.received) == 1
    assert (await hooks.shown(destination)).described.enabled


async def test_what_was_not_taken_is_tried_again(hooks: Webhooks, crm: Endpoint) -> None:
    destination, _ = await hooks.subscribe(crm.url, request=REQUEST)
    crm.says(500, 204)
    await changed(hooks, LI)
    await hooks.send(destination)
    await hooks.later(seconds=10)
    await hooks.send(destination)
    assert len(set(crm.ids)) == 1
    assert len(crm.received) == 2
    assert [one["state"] for one in await hooks.log(destination)] == ["delivered"]


async def test_a_test_says_that_it_is_one(hooks: Webhooks, crm: Endpoint) -> None:
    destination, _ = await hooks.subscribe(crm.url + CONTACT, request=REQUEST)
    async with hooks.engine.begin() as connection:
        await add_test(connection, destination.id)
    await hooks.later(seconds=60)
    await hooks.send(destination)
    [one] = crm.received
    assert one.path == "/hook/contacts/test"
    assert one.event["Tier"] is None


async def test_its_headers_are_sealed_at_rest_and_never_shown(hooks: Webhooks, crm: Endpoint) -> None:
    destination, _ = await hooks.subscribe(crm.url, request=REQUEST)
    async with hooks.engine.connect() as connection:
        [row] = await connection.execute(select(subscriptions))
    assert SECRET.encode() not in row.request
    assert not any(SECRET in str(value) for value in row)
    shown = subscription_document(await hooks.shown(destination))
    assert shown["request"]["headers"] == {"authorization": "***"}
    assert shown["request"]["body"] == REQUEST["body"]
