"""Why a customer is classified so, as a reader of the profile API sees it."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.stored import happened, store_customer
from tierwise.db import cuts
from tierwise.db.tables import changes, customers
from tierwise.domain.customer_id import public_id
from tierwise.domain.cuts import Taken
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app

LI, LOSER = 1, 2

WHAT_LI_DID = [
    happened("web", "page_view", "2026-11-01T08:00:00+00:00", properties={"path": "/pricing"}),
    happened("call", "completed", "2026-11-02T08:00:00+00:00", properties={"duration_s": 90}),
    happened(
        "order",
        "purchase",
        "2026-11-10T09:30:00+00:00",
        identifiers={"user_id": "u7", "email": "li@example.com"},
        attributes={"role": "owner", "name": "李雷", "birthday": "1980-02-03"},
        properties={"amount": "1299.00", "currency": "CNY"},
    ),
    happened("order", "purchase", "2026-11-10T09:31:00+00:00", properties={"amount": "7.00", "currency": "XTS"}),
]


@pytest.fixture
async def anyone(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    async with engine.begin() as connection:
        await store_customer(connection, vault, LI, WHAT_LI_DID)
        await store_customer(connection, vault, LOSER, WHAT_LI_DID[:1], merged_into=LI)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://profile-api") as client,
    ):
        yield client


async def with_key(anyone: httpx.AsyncClient, engine: AsyncEngine, vault: Vault, scope: str) -> httpx.AsyncClient:
    async with engine.begin() as connection:
        key = await create_read_key(connection, vault, name="test", scopes=[scope])
    anyone.headers["Authorization"] = f"Bearer {key.secret}"
    return anyone


@pytest.fixture
async def client(anyone: httpx.AsyncClient, engine: AsyncEngine, vault: Vault) -> httpx.AsyncClient:
    return await with_key(anyone, engine, vault, "profiles:read")


def total(parts: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(str(part["points"])) for part in parts), Decimal(0))


async def test_it_says_what_the_current_view_says_in_parts_that_add_up(client: httpx.AsyncClient) -> None:
    view = (await client.get(f"/v1/customers/{public_id(LI)}")).json()
    response = await client.get(f"/v1/customers/{public_id(LI)}/why")
    assert response.status_code == 200, response.text
    why = response.json()
    assert (why["customer_id"], why["as_of"]) == (view["customer_id"], view["classified_at"])
    assert (why["intent"]["score"], why["intent"]["level"]) == (view["intent"]["score"], view["intent"]["level"])
    assert why["lifecycle"]["value"] == view["lifecycle"]["stage"]
    assert why["tier"]["grade"] == view["tier"]["grade"]
    assert {part["name"]: part["score"] for part in why["tier"]["parts"]} == view["tier"]["dimensions"]
    assert {tag["aspect"]: tag["value"] for tag in why["tags"] if tag["value"]} == {
        f"tag:{tag['family']}.{tag['name']}": tag["value"] for tag in view["tags"]
    }
    assert {part["name"] for part in why["intent"]["parts"]} >= {"pricing_view", "call_talked", "decision_maker"}
    for scored, shown in ((why["intent"], why["intent"]["points"]), (why["tier"], why["tier"]["score"])):
        assert sum(part["exact"] for part in scored["parts"]) == scored["exact"]
        assert total(scored["parts"]) == Decimal(str(shown))


async def test_it_names_the_cuts_and_explains_by_them(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    path = f"/v1/customers/{public_id(LI)}"
    assert (await client.get(f"{path}/why")).json()["cuts"] is None
    async with engine.begin() as connection:
        number = await cuts.add(connection, 1, Taken(20_000, (9_990, 9_980, 1, 0), 7), quiet=False)
        await connection.execute(update(customers).values(cuts=number))
        await connection.execute(update(changes).values(cuts=number))
    why = (await client.get(f"{path}/why")).json()
    assert (why["cuts"], why["tier"]["grade"]) == (number, "C")
    assert [cut["score"] for cut in why["tier"]["cuts"]] == [99.9, 99.8, 0.01, 0]
    assert (await client.get(path)).json()["cuts"] == number
    assert {change["cuts"] for change in (await client.get(f"{path}/changes")).json()["items"]} == {number}


async def test_it_says_which_amounts_are_in_no_sum(client: httpx.AsyncClient) -> None:
    view = (await client.get(f"/v1/customers/{public_id(LI)}")).json()
    why = (await client.get(f"/v1/customers/{public_id(LI)}/why")).json()
    assert (view["orders"]["count"], view["orders"]["amount"]) == (2, "1299.00")
    assert why["unconverted"] == {"XTS": 1}
    assert why["words"]["en"] == "1 amount in XTS: no rate is known, in no sum."


async def test_it_shows_no_personal_data(client: httpx.AsyncClient) -> None:
    text = (await client.get(f"/v1/customers/{public_id(LI)}/why")).text
    assert not any(secret in text for secret in ("李雷", "1980", "li@example.com"))


@pytest.mark.parametrize(
    ("dimension", "key"),
    [
        ("tier", "tier"),
        ("intent", "intent"),
        ("lifecycle", "lifecycle"),
        ("tag:transaction.history", "tag"),
        ("value", "dimension"),
    ],
)
async def test_one_of_it_can_be_asked_for(client: httpx.AsyncClient, dimension: str, key: str) -> None:
    path = f"/v1/customers/{public_id(LI)}/why"
    one = (await client.get(path, params={"dimension": dimension})).json()
    assert set(one) == {"customer_id", "as_of", "day", "rulebook", "cuts", key}
    assert set(one[key]["words"]) == {"en", "zh"}
    whole = (await client.get(path)).json()
    if key in whole:
        assert whole[key] == one[key]


async def test_of_a_merged_id_it_is_the_winners(client: httpx.AsyncClient) -> None:
    why = (await client.get(f"/v1/customers/{public_id(LOSER)}/why")).json()
    winner = (await client.get(f"/v1/customers/{public_id(LI)}/why")).json()
    assert why == {**winner, "requested_id": public_id(LOSER), "merged_into": public_id(LI)}


@pytest.mark.parametrize("dimension", ["", "valeu", "tag:", "tag:behaviour.high", "x" * 201, "\x00"])
async def test_an_unknown_dimension_is_a_400_naming_it(client: httpx.AsyncClient, dimension: str) -> None:
    response = await client.get(f"/v1/customers/{public_id(LI)}/why", params={"dimension": dimension})
    assert (response.status_code, response.json()["code"]) == (400, "bad_parameter")
    assert response.json()["field"] == "dimension"


async def test_a_misspelt_parameter_is_a_400_and_an_unknown_customer_a_404(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/customers/{public_id(LI)}/why?dimensoin=tier")).status_code == 400
    for id_ in (public_id(99), "c_", "nobody"):
        response = await client.get(f"/v1/customers/{id_}/why")
        assert (response.status_code, response.json()["code"]) == (404, "unknown_customer")


async def test_it_needs_the_scope_profiles_read(anyone: httpx.AsyncClient, engine: AsyncEngine, vault: Vault) -> None:
    path = f"/v1/customers/{public_id(LI)}/why"
    assert (await anyone.get(path)).status_code == 401
    response = await (await with_key(anyone, engine, vault, "timeline:read")).get(path)
    assert (response.status_code, response.json()["scope"]) == (403, "profiles:read")


async def test_the_document_of_the_api_has_it_with_an_example(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/customers/{customer_id}/why"]["get"]
    assert operation["security"] == [{"readKey": ["profiles:read"]}, {"browserToken": []}]
    assert "422" not in operation["responses"]
    assert document["components"]["schemas"]["Why"]["examples"][0]["dimension"]["name"] == "value"
