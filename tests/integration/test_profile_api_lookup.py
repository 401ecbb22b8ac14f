"""Many customers at once, chosen fields, and what goes over the wire."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.reader import key, reading
from tests.support.stored import happened, store_customer
from tierwise.domain.customer_id import public_id
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_profile_api.fields import FIELDS

LI, WANG, LOSER = 1, 2, 3
LI_PATH = f"/v1/customers/{public_id(LI)}"
BOUGHT = happened(
    "order",
    "purchase",
    "2026-11-10T09:30:00+00:00",
    identifiers={"email": "li@example.com", "phone": "+8613800138000"},
    attributes={"region": "CN-31", "plan.kind": "pro"},
    properties={"amount": "1299.00", "currency": "CNY"},
)
LOOKED = happened("web", "page_view", "2026-11-10T09:30:00+00:00", identifiers={"user_id": "wang"})
CALLED = happened("call", "completed", "2026-11-11T00:00:00+00:00", identifiers={"crm_id": "c1"})

Client = httpx.AsyncClient


@pytest.fixture
async def client(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Client]:
    async with engine.begin() as connection:
        await store_customer(connection, vault, LI, [BOUGHT], version=4)
        await store_customer(connection, vault, WANG, [LOOKED])
        await store_customer(connection, vault, LOSER, [CALLED], merged_into=LI)
    async with reading(settings, await key(engine, vault)) as client:
        yield client


async def looked_up(client: Client, *asked: Any, **parameters: str) -> dict[str, Any]:
    response = await client.post("/v1/customers/lookup", json={"customers": asked}, params=parameters)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


class TestLookup:
    async def test_ids_and_identifiers_come_in_the_order_asked_and_the_unknown_are_named(self, client: Client) -> None:
        email, nobody = {"kind": "email", "value": " LI@example.com"}, {"kind": "email", "value": "no address"}
        asked = [public_id(WANG), email, public_id(99), "c_", nobody, public_id(LOSER), public_id(WANG)]
        body = await looked_up(client, *asked)
        assert [(item["index"], item["customer"]["customer_id"]) for item in body["items"]] == [
            (0, public_id(WANG)),
            (1, public_id(LI)),
            (5, public_id(LI)),
            (6, public_id(WANG)),
        ]
        assert body["unknown"] == [{"index": index, "asked": asked[index]} for index in (2, 3, 4)]
        assert body["items"][1]["customer"] == (await client.get(LI_PATH)).json()
        merged = body["items"][2]["customer"]
        assert merged == (await client.get(f"/v1/customers/{public_id(LOSER)}")).json()
        assert (merged["requested_id"], merged["merged_into"]) == (public_id(LOSER), public_id(LI))

    async def test_of_nobody_it_is_empty(self, client: Client) -> None:
        assert await looked_up(client) == {"items": [], "unknown": []}

    async def test_fields_are_picked(self, client: Client) -> None:
        body = await looked_up(client, public_id(LI), fields="tier.grade")
        assert body["items"][0]["customer"].keys() == {"customer_id", "tier"}

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            (b'{"customers": "c_"}', 400, "customers"),
            (b'{"customers": [7]}', 400, "customers[0]"),
            (b'{"customers": [{"kind": "email"}]}', 400, "customers[0]"),
            (b'{"customers": [], "field": "x"}', 400, None),
            (b'{"customers": [' + b'"c_",' * 500 + b'"c_"]}', 400, "customers"),
            (b"{", 400, None),
            (b'"' + b"x" * 1_000_000 + b'"', 413, None),
        ],
    )
    async def test_a_bad_body_is_refused_by_name(
        self, client: Client, body: bytes, status: int, field: str | None
    ) -> None:
        response = await client.post("/v1/customers/lookup", content=body)
        assert response.status_code == status
        assert response.json().get("field") == field

    async def test_500_large_views_are_compressed_for_who_can_read_that(self, client: Client) -> None:
        asked = {"customers": [public_id(LI)] * 500}
        plain = await client.post("/v1/customers/lookup", json=asked, headers={"Accept-Encoding": "identity"})
        compressed = await client.post("/v1/customers/lookup", json=asked, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert compressed.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in compressed.headers["vary"]
        assert int(compressed.headers["content-length"]) * 5 < len(plain.content)
        assert compressed.json() == plain.json()


class TestFields:
    async def test_they_are_as_deep_as_they_stood_and_null_where_there_is_none(self, client: Client) -> None:
        whole = (await client.get(LI_PATH)).json()
        wanted = "tier.dimensions.value,tier.grade,attributes.region,attributes.plan.kind,attributes.shoe,tags,owner"
        picked = (await client.get(LI_PATH, params={"fields": wanted})).json()
        assert picked == {
            "customer_id": public_id(LI),
            "tier": {"grade": whole["tier"]["grade"], "dimensions": {"value": whole["tier"]["dimensions"]["value"]}},
            "attributes": {"region": "CN-31", "plan.kind": "pro", "shoe": None},
            "tags": whole["tags"],
            "owner": None,
        }

    async def test_every_field_of_the_view_can_be_picked(self, client: Client) -> None:
        whole = (await client.get(LI_PATH)).json()
        assert whole.keys() == FIELDS.keys()
        picked = (await client.get(LI_PATH, params={"fields": ",".join(FIELDS)})).json()
        assert picked == whole

    async def test_in_lists_and_by_identifier_too(self, client: Client) -> None:
        items = (await client.get("/v1/customers", params={"fields": "version"})).json()["items"]
        assert items[0] == {"customer_id": public_id(LI), "version": 4}
        one = await client.get("/v1/customers/by/crm_id/c1", params={"fields": "version"})
        assert one.json() == items[0]

    @pytest.mark.parametrize(
        "fields",
        [
            "",
            "teir",
            "tier.grad",
            "tier.",
            "tags.name",
            "version.x",
            "attributes.",
            "tier.dimensions.",
            ",",
            "x" * 2001,
        ],
    )
    async def test_an_unknown_one_is_a_400_that_names_what_there_is(self, client: Client, fields: str) -> None:
        response = await client.get(LI_PATH, params={"fields": fields})
        assert (response.status_code, response.json()["field"]) == (400, "fields")

    async def test_another_choice_is_another_representation(self, client: Client) -> None:
        tag = (await client.get(LI_PATH)).headers["etag"]
        known = {"If-None-Match": tag}
        assert (await client.get(LI_PATH, headers=known)).status_code == 304
        some = await client.get(LI_PATH, headers=known, params={"fields": "tier,version"})
        assert some.status_code == 200
        known = {"If-None-Match": some.headers["etag"]}
        assert (await client.get(LI_PATH, headers=known, params={"fields": "version,tier"})).status_code == 304
        assert (await client.get(LI_PATH, headers=known, params={"fields": "tier"})).status_code == 200
