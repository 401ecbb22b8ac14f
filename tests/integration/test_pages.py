"""What web pages send without an SDK: the script's batches, an image's address, a form."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended, serving, write_key
from tierwise.domain.source import BROWSER, Intake, Trust
from tierwise.security.personal import Vault
from tierwise.settings import Settings

SHOP = "https://shop.example"
FORMS = Trust(
    channels=frozenset({"web"}),
    kinds=frozenset({"anonymous_id", "email"}),
    attributes=frozenset({"city"}),
    links=False,
)


@pytest.fixture
async def client(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    intake = Intake(origins=frozenset({SHOP}), redirects=frozenset({"https://thanks.example"}))
    page = await write_key(engine, vault, source="page", trust=BROWSER, intake=intake)
    forms = await write_key(engine, vault, source="contact", trust=FORMS, intake=intake)
    async with serving(settings) as client:
        client.params = {"key": page.secret}
        client.headers["form-key"] = forms.secret  # for the tests below, not for the server
        yield client


def visit(**change: Any) -> dict[str, Any]:
    return {"id": "v1", "channel": "web", "type": "page_view", "properties": {"path": "/pricing"}} | change


async def test_a_page_sends_as_text_with_its_key_in_the_query(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    ahead = timedelta(days=3)
    clock = datetime.now(UTC) + ahead
    body = {
        "sent_at": clock.isoformat(),
        "anonymous_id": "visitor-1",
        "interactions": [
            visit(time=(clock - timedelta(seconds=5)).isoformat()),
            visit(id="o1", channel="order", type="purchase"),
            visit(id="v2", identifiers={"email": "li@example.com"}),
        ],
    }
    response = await client.post("/v1/browser", json=body, headers={"content-type": "text/plain", "origin": SHOP})
    assert response.status_code == 202
    assert response.headers["access-control-allow-origin"] == SHOP
    answer = response.json()
    assert (answer["accepted"], answer["rejected"]) == (1, 2)
    assert [one["code"] for one in answer["results"]] == ["channel_not_allowed", "identifier_not_allowed"]
    (one,) = await appended(settings, engine, vault)
    assert (one.identifiers, one.links) == ({"anonymous_id": "visitor-1"}, False)
    assert abs(datetime.now(UTC) - timedelta(seconds=5) - one.time) < timedelta(seconds=4)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'{"sent_at": "2026-11-20T01:30:02Z"}', b'{"sent_at": "now", "interactions": []}', b"\xff"],
)
async def test_a_body_that_the_script_does_not_send_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/v1/browser", content=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_body")


async def test_a_page_of_another_origin_is_refused_and_one_that_asks_first_is_told(client: httpx.AsyncClient) -> None:
    body = {"sent_at": datetime.now(UTC).isoformat(), "anonymous_id": "visitor-1", "interactions": [visit()]}
    refused = await client.post("/v1/browser", json=body, headers={"origin": "https://evil.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    asking = {"origin": SHOP, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    allowed = await client.options("/v1/browser", headers=asking)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, SHOP)
    other = await client.options("/v1/browser", headers=asking | {"origin": "https://evil.example"})
    assert other.status_code == 403


async def test_do_not_track_leaves_the_interaction_unscored(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    await client.get("/p.gif", params={"anonymous_id": "a"}, headers={"dnt": "1"})
    await client.get("/p.gif", params={"anonymous_id": "b"}, headers={"sec-gpc": "1"})
    await client.get("/p.gif", params={"anonymous_id": "c"})
    found = {one.identifiers["anonymous_id"]: one.scored for one in await appended(settings, engine, vault)}
    assert found == {"a": False, "b": False, "c": True}


async def test_a_pixel_is_a_picture_whatever_it_tells(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    seen = await client.get("/p.gif", params={"anonymous_id": "a", "id": "1", "utm_medium": "email", "path": "/x"})
    unknown = await client.get("/p.gif", params={"path": "/x"})
    for picture in (seen, unknown):
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/gif")
        assert picture.content.startswith(b"GIF89a")
    assert "tierwise-rejected" not in seen.headers
    assert unknown.headers["tierwise-rejected"] == "missing_identifier identifiers"
    (one,) = await appended(settings, engine, vault)
    assert (one.id, one.channel, one.type, one.properties) == (
        "1", "web", "page_view", {"utm_medium": "email", "path": "/x"},
    )  # fmt: skip
    assert (await client.get("/p.gif", params={"key": "", "anonymous_id": "a"})).status_code == 401


async def test_a_form_thanks_or_sends_its_visitor_on(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    filled = {
        "_key": client.headers["form-key"],
        "_form": "contact",
        "email": " Li@Example.com ",
        "attributes.city": "上海",
        "topic": ["courses", "books"],
        "_consent": "on",
    }
    thanks = await client.post("/v1/forms/contact", data=filled, headers={"origin": SHOP})
    assert (thanks.status_code, thanks.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "谢谢" in thanks.text
    onwards = await client.post("/v1/forms/contact", data=filled | {"_redirect": "https://thanks.example/done?a=b"})
    assert (onwards.status_code, onwards.headers["location"]) == (303, "https://thanks.example/done?a=b")
    for one in await appended(settings, engine, vault):
        assert (one.channel, one.type, one.identifiers) == ("web", "form_submitted", {"email": "li@example.com"})
        assert one.attributes["city"]
        assert one.properties == {"form": "contact", "topic": ["courses", "books"]}
        assert (one.scored, one.links) == (True, False)


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"_redirect": "https://evil.example/"}, 400, "redirect_not_allowed"),
        ({"_redirect": "//evil.example"}, 400, "redirect_not_allowed"),
        ({"_redirect": "https://[broken"}, 400, "redirect_not_allowed"),
        ({"email": "nobody"}, 400, "invalid_identifier"),
        ({"email": ""}, 400, "missing_identifier"),
        ({"user_id": "u1"}, 400, "identifier_not_allowed"),
        ({"attributes.vip": "1"}, 400, "attribute_not_allowed"),
        ({"_key": ""}, 401, None),
    ],
)
async def test_a_form_that_is_not_taken_says_why(
    client: httpx.AsyncClient, change: dict[str, str], status: int, reason: str | None
) -> None:
    filled = {"_key": client.headers["form-key"], "email": "li@example.com"} | change
    response = await client.post("/v1/forms/contact", data=filled)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json().get("reason") == reason


async def test_a_form_with_the_key_of_another_source_is_refused(client: httpx.AsyncClient) -> None:
    filled = {"_key": client.params["key"], "anonymous_id": "a"}
    assert (await client.post("/v1/forms/contact", data=filled)).status_code == 401
    assert (await client.post("/v1/forms/page", data=filled)).status_code == 200
    assert (
        await client.post("/v1/forms/page", content=b"_key=a", headers={"content-type": "text/plain"})
    ).status_code == 401


async def test_the_script_is_small_cached_and_may_be_read_from_any_page(client: httpx.AsyncClient) -> None:
    script = await client.get("/tierwise.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["access-control-allow-origin"] == "*"
    assert "max-age=" in script.headers["cache-control"]
    assert len(script.content) < 2_000
    again = await client.get("/tierwise.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
