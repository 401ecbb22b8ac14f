"""Subscriptions over the profile API, for administrators."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from tests.support.deliveries import Webhooks, endpoint, webhooks
from tests.support.live import record
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.webhooks.registry import SUBSCRIPTIONS_MAX
from tierwise_profile_api.app import create_app

TIERS = {"url": "https://crm.example/tierwise", "filters": {"aspects": ["tier"], "to": ["A", "B"]}}
PATH = "/v1/subscriptions"


@pytest.fixture
async def client(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    """With an administrator's key."""
    app = create_app(settings)
    headers = await key_with(engine, vault, "admin")
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://profile-api", headers=headers) as client,
    ):
        yield client


@pytest.fixture
async def hooks(engine: AsyncEngine, vault: Vault) -> AsyncIterator[Webhooks]:
    async with webhooks(engine, vault) as hooks:
        yield hooks


async def key_with(engine: AsyncEngine, vault: Vault, *scopes: str) -> dict[str, str]:
    async with engine.begin() as connection:
        created = await create_read_key(connection, vault, name="console", scopes=scopes)
    return {"Authorization": f"Bearer {created.secret}"}


async def test_a_subscription_is_made_shown_without_its_secret_changed_and_deleted(client: httpx.AsyncClient) -> None:
    made = await client.post(PATH, json=TIERS)
    assert made.status_code == 201, made.text
    subscription, secret = made.json()["subscription"], made.json()["secret"]
    assert secret.startswith("whsec_")
    shown = await client.get(made.headers["location"])
    assert shown.json() == subscription
    assert secret not in shown.text
    assert (await client.get(PATH)).json() == {"items": [subscription], "next_cursor": None}

    patch = {"description": "CRM", "filters": {"to": None, "from": ["C"]}}
    changed = (await client.patch(made.headers["location"], json=patch)).json()
    assert changed["filters"] == {"aspects": ["tier"], "from": ["C"], "to": [], "causes": [], "segments": []}
    assert (changed["description"], changed["url"]) == ("CRM", TIERS["url"])
    assert (await client.delete(made.headers["location"])).status_code == 204
    assert (await client.get(made.headers["location"])).status_code == 404
    assert (await client.delete(made.headers["location"])).status_code == 404


async def test_the_log_is_paged_and_filtered_and_a_range_is_sent_again(
    client: httpx.AsyncClient, hooks: Webhooks
) -> None:
    async with endpoint() as receiver:
        made = (await client.post(PATH, json={"url": receiver.url})).json()
        subscription, path = await hooks.shown_by(made["subscription"]["id"]), f"{PATH}/{made['subscription']['id']}"
        async with hooks.engine.begin() as connection:
            for customer in range(5):
                await record(connection, customer, 1)
        await hooks.send(subscription)
        Webhook(made["secret"]).verify(receiver.received[0].body, dict(receiver.received[0].headers))

        first = (await client.get(f"{path}/deliveries", params={"limit": 3})).json()
        parameters = {"limit": 3, "cursor": first["next_cursor"]}
        second = (await client.get(f"{path}/deliveries", params=parameters)).json()
        assert [one["event_id"] for one in [*first["items"], *second["items"]][::-1]] == receiver.ids
        assert second["next_cursor"] is None
        assert (await client.get(f"{path}/deliveries", params={"state": "failed"})).json()["items"] == []

        given = {"from": "2026-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
        again = await client.post(f"{path}/replay", json=given)
        assert (again.status_code, again.json()) == (202, {"changes": 5})
        tested = await client.post(f"{path}/test")
        assert (tested.status_code, tested.json()["state"]) == (202, "pending")
        await hooks.send(subscription)
        assert len(receiver.received) == 11
        assert (await client.post(f"{path}/rotate", json={"grace_s": 0})).json()["secret"] != made["secret"]


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("POST", "", {}, 400, "url"),
    ("POST", "", [], 400, "the subscription"),
    ("POST", "", {"url": "ftp://crm.example"}, 400, "url"),
    ("POST", "", {"url": "https://"}, 400, "url"),
    ("POST", "", {"url": "https://a b.example"}, 400, "url"),
    ("POST", "", {"url": "https://crm.example:99999/"}, 400, "url"),
    ("POST", "", {"url": "https://[::1/"}, 400, "url"),
    ("POST", "", {"url": "https://me:secret@crm.example/"}, 400, "url"),
    ("POST", "", {"url": "https://crm.example/#x"}, 400, "url"),
    ("POST", "", {"url": 7}, 400, "url"),
    ("POST", "", {"url": "https://crm.example", "filter": {}}, 400, "filter"),
    ("POST", "", {**TIERS, "filters": {"aspects": ["tiers"]}}, 400, "filters.aspects"),
    ("POST", "", {**TIERS, "filters": {"causes": ["chance"]}}, 400, "filters.causes"),
    ("POST", "", {**TIERS, "filters": {"to": "A"}}, 400, "filters.to"),
    ("POST", "", {**TIERS, "filters": {"to": ["A"] * 51}}, 400, "filters.to"),
    ("POST", "", {**TIERS, "filters": {"to": ["\0"]}}, 400, "filters.to"),
    ("POST", "", {**TIERS, "filters": {"grade": ["A"]}}, 400, "filters.grade"),
    ("POST", "", {**TIERS, "filters": None}, 400, "filters"),
    ("POST", "", {**TIERS, "enabled": "yes"}, 400, "enabled"),
    ("POST", "", {**TIERS, "description": "x" * 501}, 400, "description"),
    ("PATCH", "/{id}", {"url": None}, 400, "url"),
    ("PATCH", "/{id}", {"urls": "https://crm.example"}, 400, "urls"),
    ("PATCH", "/sub_nobody", {}, 404, ""),
    ("GET", "/sub_nobody", None, 404, ""),
    ("GET", "/x%00", None, 404, ""),
    ("GET", "/sub_nobody/deliveries", None, 404, ""),
    ("GET", "/{id}/deliveries?state=lost", None, 400, "state"),
    ("GET", "/{id}/deliveries?cursor=x", None, 400, ""),
    ("POST", "/sub_nobody/test", None, 404, ""),
    ("POST", "/sub_nobody/rotate", {}, 404, ""),
    ("POST", "/{id}/rotate", {"grace_s": -1}, 400, "grace_s"),
    ("POST", "/{id}/rotate", {"grace_s": 10**18}, 400, "grace_s"),
    ("POST", "/{id}/rotate", {"grace": 1}, 400, ""),
    ("POST", "/{id}/replay", {"from": "2026-01-01T00:00:00Z"}, 400, ""),
    ("POST", "/{id}/replay", {"from": "yesterday", "to": "2026-01-01T00:00:00Z"}, 400, "from"),
    ("POST", "/{id}/replay", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, "to"),
]


async def test_what_is_wrong_is_a_problem_that_names_the_field(client: httpx.AsyncClient) -> None:
    held = (await client.post(PATH, json=TIERS)).json()["subscription"]
    for method, path, body, status, field in WRONG:
        answer = await client.request(method, PATH + path.format(id=held["id"]), json=body)
        assert answer.status_code == status, (method, path, body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json().get("field") or "").startswith(field), (body, answer.text)
    assert (await client.get(PATH)).json()["items"] == [held]


async def test_there_are_not_more_than_can_be_served(client: httpx.AsyncClient) -> None:
    for _ in range(SUBSCRIPTIONS_MAX):
        assert (await client.post(PATH, json=TIERS)).status_code == 201
    refused = await client.post(PATH, json=TIERS)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_subscriptions")


async def test_only_an_administrator_may(client: httpx.AsyncClient, engine: AsyncEngine, vault: Vault) -> None:
    other = await key_with(engine, vault, "profiles:read", "write", "pii:read", "export")
    made = (await client.post(PATH, json=TIERS)).json()["subscription"]["id"]
    asked = [
        ("GET", ""), ("POST", ""), ("GET", f"/{made}"), ("PATCH", f"/{made}"), ("DELETE", f"/{made}"),
        ("POST", f"/{made}/rotate"), ("POST", f"/{made}/test"), ("POST", f"/{made}/replay"),
        ("GET", f"/{made}/deliveries"),
    ]  # fmt: skip
    for method, path in asked:
        answer = await client.request(method, PATH + path, headers=other)
        assert (answer.status_code, answer.json()["scope"]) == (403, "admin"), path


async def test_a_destination_that_names_personal_data_needs_the_scope_for_it(
    client: httpx.AsyncClient, engine: AsyncEngine, vault: Vault
) -> None:
    plain = TIERS | {"request": {"headers": {"Key": "k"}, "body": {"tier": "{{ change.to }}"}}}
    personal = plain | {"url": "https://crm.example/{{ customer.identifiers.crm_id }}"}
    made = await client.post(PATH, json=plain)
    assert made.status_code == 201, made.text
    assert made.json()["subscription"]["request"]["headers"] == {"key": "***"}
    for refused in (
        await client.post(PATH, json=personal),
        await client.patch(made.headers["location"], json={"url": personal["url"]}),
    ):
        assert (refused.status_code, refused.json().get("scope")) == (403, "pii:read"), refused.text
    assert (await client.get(made.headers["location"])).json() == made.json()["subscription"]
    allowed = await key_with(engine, vault, "admin", "pii:read")
    assert (await client.post(PATH, json=personal, headers=allowed)).status_code == 201
