"""With a key that stands in a web page, as somebody who means harm: what it can be used for, and what it cannot."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended, serving
from tierwise.security.keys import Created
from tierwise.security.personal import Vault
from tierwise.security.source_document import InvalidSource, read_source
from tierwise.security.source_registry import create_source
from tierwise.settings import Settings

PATH = "/v1/interactions"
SHOP = "https://shop.example"
VIEW: dict[str, Any] = {"channel": "web", "type": "page_view", "identifiers": {"anonymous_id": "a1"}}
PAGE = {
    "name": "page",
    "trust": "browser",
    "intake": {"origins": [SHOP], "formats": ["native", "browser"], "rate_limit": {"per_second": 0.01, "burst": 20}},
}


async def made(engine: AsyncEngine, vault: Vault, document: dict[str, Any]) -> Created:
    async with engine.begin() as connection:
        return await create_source(connection, vault, read_source(document))


@pytest.fixture
async def key(engine: AsyncEngine, vault: Vault) -> str:
    return (await made(engine, vault, PAGE)).secret


@pytest.fixture
async def client(settings: Settings, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings, key=key) as client:
        client.headers["Origin"] = SHOP
        yield client


async def test_the_page_itself_sends_what_visitors_do_and_may_read_the_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=VIEW)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == SHOP


FORGED: list[tuple[dict[str, Any], str, str]] = [
    ({"channel": "order", "type": "purchase", "properties": {"amount": "99999"}}, "channel_not_allowed", "channel"),
    ({"channel": "crm", "type": "qualified"}, "channel_not_allowed", "channel"),
    ({"channel": "crm", "type": "override"}, "channel_not_allowed", "channel"),
    ({"attributes": {"industry": "education"}}, "attribute_not_allowed", "attributes.industry"),
    ({"attributes": {"override.tier": "A"}}, "attribute_not_allowed", "attributes.override.tier"),
    ({"attributes": {"acquisition.first": "search"}}, "attribute_not_allowed", "attributes.acquisition.first"),
    ({"identifiers": {"user_id": "ceo"}}, "identifier_not_allowed", "identifiers.user_id"),
    ({"identifiers": {"crm_id": "1"}}, "identifier_not_allowed", "identifiers.crm_id"),
    (
        {"identifiers": {"anonymous_id": "a1", "email": "ceo@example.com"}},
        "identifier_not_allowed",
        "identifiers.email",
    ),
    ({"source": "shop"}, "unknown_field", "source"),
    ({"links": True}, "unknown_field", "links"),
    ({"batch": "history"}, "unknown_field", "batch"),
]


@pytest.mark.parametrize(("forged", "code", "field"), FORGED)
async def test_it_asserts_nothing_of_customers_and_no_other_channel(
    client: httpx.AsyncClient, forged: dict[str, Any], code: str, field: str
) -> None:
    answer = await client.post(PATH, json=VIEW | forged)
    assert answer.status_code == 400
    [result] = answer.json()["results"]
    assert (result["code"], result["field"]) == (code, field)


async def test_it_asserts_no_more_in_another_format_that_it_may_use(client: httpx.AsyncClient, key: str) -> None:
    sent = {"sent_at": "2026-11-20T01:30:02Z", "interactions": [VIEW | forged for forged, _, _ in FORGED]}
    answer = await client.post("/v1/browser", params={"key": key}, json=sent)
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, len(FORGED))


async def test_where_it_may_send_several_identifiers_they_merge_nobody(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    trust = {"channels": ["web"], "kinds": ["anonymous_id", "email"], "attributes": ["override.tier"], "links": False}
    with pytest.raises(InvalidSource, match=r"override\.tier"):
        read_source({"name": "page", "trust": trust})
    key = await made(engine, vault, {"name": "page", "trust": trust | {"attributes": None}})
    async with serving(settings, key=key.secret) as client:
        both = VIEW | {"identifiers": {"anonymous_id": "a1", "email": "ceo@example.com"}}
        assert (await client.post(PATH, json=both)).status_code == 202
        reserved = VIEW | {"attributes": {"override.tier": "A"}}
        answer = await client.post(PATH, json=reserved)
    assert answer.json()["results"][0]["code"] == "reserved_attribute"
    [interaction] = await appended(settings, engine, vault)
    assert not interaction.links


async def test_other_formats_than_its_own_are_closed(client: httpx.AsyncClient, key: str) -> None:
    pixel = await client.get("/p.gif", params={"key": key, "type": "page_view", "anonymous_id": "a1"})
    assert (pixel.status_code, pixel.json()["code"]) == (403, "format_not_allowed")
    form = await client.post("/v1/forms/page", data={"_key": key, "anonymous_id": "a1"})
    assert (form.status_code, form.json()["code"]) == (403, "format_not_allowed")


EVIL = ["https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"]


@pytest.mark.parametrize("origin", EVIL)
async def test_pages_of_other_origins_can_not_use_it(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault, key: str, origin: str
) -> None:
    client.headers["Origin"] = origin
    asked = await client.options(PATH, headers={"Access-Control-Request-Method": "POST"})
    # What needs no preflight: text, with the key in the query, as sendBeacon sends it.
    beacon = await client.post("/v1/browser", params={"key": key}, content=b'{"interactions":[]}')
    for answer in (asked, beacon, await client.post(PATH, json=VIEW)):
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers
    assert not await appended(settings, engine, vault)


async def test_a_preflight_of_the_page_is_allowed_without_a_key(client: httpx.AsyncClient) -> None:
    del client.headers["Authorization"]
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await client.options(PATH, headers=asking)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, SHOP)
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"


async def test_it_sends_no_faster_than_it_may_and_the_page_can_read_when_to_come_again(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    views = [VIEW | {"id": str(number)} for number in range(20)]
    assert (await client.post(PATH, json=views)).status_code == 202
    answer = await client.post(PATH, json=VIEW)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert len(await appended(settings, engine, vault)) == 20


async def test_it_does_not_open_the_paths_of_another_source(
    client: httpx.AsyncClient, engine: AsyncEngine, vault: Vault, key: str
) -> None:
    await made(engine, vault, {"name": "other"})
    form = await client.post("/v1/forms/other", data={"_key": key, "anonymous_id": "a1"})
    assert form.status_code == 401
