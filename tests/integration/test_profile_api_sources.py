"""Sources over the profile API, for administrators."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.tables import sources
from tierwise.domain.source import BY_HAND
from tierwise.security.keys import KeyRing, create_read_key
from tierwise.security.personal import Vault
from tierwise.security.sources import Sources
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app

PAGE = {
    "name": "shop-page",
    "trust": "browser",
    "intake": {"origins": ["https://shop.example"], "rate_limit": {"per_second": 100, "burst": 1000}},
}


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


async def key_with(engine: AsyncEngine, vault: Vault, *scopes: str) -> dict[str, str]:
    async with engine.begin() as connection:
        created = await create_read_key(connection, vault, name="console", scopes=scopes)
    return {"Authorization": f"Bearer {created.secret}"}


async def test_a_source_is_made_with_its_first_key_and_shown_without_it(
    client: httpx.AsyncClient, engine: AsyncEngine, vault: Vault
) -> None:
    made = await client.post("/v1/sources", json=PAGE)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    key = made.json()["key"]
    source = await KeyRing(engine, vault).authenticate_write(key["secret"])
    assert source.intake.origins == {"https://shop.example"}
    shown = await client.get(made.headers["location"])
    assert shown.json() == made.json()["source"]
    assert key["secret"] not in shown.text
    assert (await client.get("/v1/sources")).json() == {"items": [shown.json()], "next_cursor": None}


async def test_a_source_is_changed_by_a_merge_patch(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/sources", json=PAGE)).json()["source"]
    patch = {"intake": {"rate_limit": {"burst": 5}, "origins": None}}
    changed = (await client.patch("/v1/sources/shop-page", json=patch)).json()
    assert changed["intake"]["rate_limit"] == {"per_second": 100, "burst": 5}
    assert changed["intake"]["origins"] == []
    assert changed["trust"] == made["trust"]


async def test_keys_and_secrets_rotate(client: httpx.AsyncClient, engine: AsyncEngine, vault: Vault) -> None:
    await client.post("/v1/sources", json={"name": "邮件"})
    path = "/v1/sources/邮件/rotate"
    given = (await client.post(path, json={"what": "secret", "secret": "the provider's"})).json()
    assert given == {"key": None, "secret": None}
    made = (await client.post(path, json={"what": "secret", "grace_s": 60})).json()["secret"]
    assert (await Sources(engine, vault).named("邮件")).secrets == (made.encode(), b"the provider's")
    key = (await client.post(path, json={"what": "key", "grace_s": 0})).json()["key"]
    source = (await client.get("/v1/sources/邮件")).json()
    assert [one["id"] for one in source["keys"]] == [key["id"]]
    assert [one["ends_at"] is None for one in source["secrets"]] == [False, True]


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/v1/sources", {"name": "x", "trust": {"channels": ["fax"]}}, 400, "trust.channels"),
    ("POST", "/v1/sources", {"name": "x", "intake": {"orgins": []}}, 400, "intake.orgins"),
    ("POST", "/v1/sources", [], 400, "the source"),
    ("PATCH", "/v1/sources/page", {"intake": {"origins": ["*"]}}, 400, "intake.origins"),
    ("PATCH", "/v1/sources/page", {"trust": "backend"}, 400, "trust.links"),
    ("POST", "/v1/sources/page/rotate", {}, 400, "what"),
    ("POST", "/v1/sources/page/rotate", {"what": "key", "secret": "x"}, 400, "secret"),
    ("POST", "/v1/sources/page/rotate", {"what": "key", "grace_s": -1}, 400, "grace_s"),
    ("POST", "/v1/sources", PAGE | {"name": "page"}, 409, ""),
    ("PATCH", "/v1/sources/nobody", {}, 404, ""),
    ("GET", "/v1/sources/nobody", None, 404, ""),
    ("GET", "/v1/sources/x%00", None, 404, ""),
    ("GET", "/v1/sources?name=page", None, 400, "name"),
]


async def test_what_is_wrong_is_a_problem_that_names_the_field(client: httpx.AsyncClient) -> None:
    await client.post("/v1/sources", json=PAGE | {"name": "page"})
    before = (await client.get("/v1/sources")).json()
    for method, path, body, status, field in WRONG:
        answer = await client.request(method, path, json=body)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json().get("field", "").startswith(field), answer.text
    assert (await client.get("/v1/sources")).json() == before


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_is_told(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/sources", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert (await client.post("/v1/sources", content=b" " * 1_000_001)).status_code == 413


async def test_what_people_write_back_is_no_source_that_a_system_gets_a_key_of(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(sources).values(name=BY_HAND, trust={}))  # as when somebody has written back
    for method, path, body in (
        ("POST", "/v1/sources", {"name": BY_HAND}),
        ("PATCH", f"/v1/sources/{BY_HAND}", {}),
        ("POST", f"/v1/sources/{BY_HAND}/rotate", {"what": "key"}),
    ):
        refused = await client.request(method, path, json=body)
        assert (refused.status_code, refused.json()["field"]) == (400, "name"), refused.text
    assert (await client.get(f"/v1/sources/{BY_HAND}")).json()["keys"] == []


async def test_only_an_administrator_may(client: httpx.AsyncClient, engine: AsyncEngine, vault: Vault) -> None:
    other = await key_with(engine, vault, "profiles:read", "write", "pii:read")
    asked = [
        ("GET", "/v1/sources"), ("POST", "/v1/sources"), ("GET", "/v1/sources/x"),
        ("PATCH", "/v1/sources/x"), ("POST", "/v1/sources/x/rotate"),
    ]  # fmt: skip
    for method, path in asked:
        answer = await client.request(method, path, headers=other, json={})
        assert (answer.status_code, answer.json()["scope"]) == (403, "admin")
        assert (await client.request(method, path, headers={"Authorization": ""}, json={})).status_code == 401


async def test_the_documentation_shows_bodies_with_examples_that_work(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    bodies = [
        ("POST", "/v1/sources", "/v1/sources"),
        ("PATCH", "/v1/sources/{name}", "/v1/sources/shop-page"),
        ("POST", "/v1/sources/{name}/rotate", "/v1/sources/shop-page/rotate"),
    ]
    for method, path, concrete in bodies:
        operation = paths[path][method.lower()]
        content = operation["requestBody"]["content"]["application/json"]
        assert content["examples"]
        for example in content["examples"].values():
            answer = await client.request(method, concrete, json=example["value"])
            assert answer.is_success, answer.text
    assert document["components"]["schemas"]["Trust"]["properties"]["channels"]
