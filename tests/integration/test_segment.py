"""Segment's and RudderStack's addresses as their senders see them: keys, answers, examples, what is kept."""

import base64
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended, appended_records, serving, write_key
from tierwise.domain import unmapped
from tierwise.domain.source import BROWSER
from tierwise.security.keys import Created
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_ingest.formats.pixel import GIF

TRACK = {"userId": "u1", "event": "Product Viewed", "messageId": "m1"}


@pytest.fixture
async def key(engine: AsyncEngine, vault: Vault) -> Created:
    return await write_key(engine, vault)


@pytest.fixture
async def client(settings: Settings, key: Created) -> AsyncIterator[httpx.AsyncClient]:
    """Without a key."""
    async with serving(settings) as client:
        yield client


def basic(key: Created) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{key.secret}:'.encode()).decode()}"}


async def test_the_key_is_the_user_of_basic_or_in_the_body(
    client: httpx.AsyncClient, key: Created, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    first = await client.post("/v1/track", json=TRACK, headers=basic(key))
    assert first.status_code == 200
    assert first.json() == {"success": True, "accepted": 1, "rejected": 0, "results": []}
    body = json.dumps({"writeKey": key.secret, "batch": [TRACK | {"type": "track", "messageId": "m2"}]})
    for path in ("/v1/batch", "/v1/b"):
        again = await client.post(path, content=body, headers={"Content-Type": "text/plain"})
        assert again.status_code == 200
    refused = await client.post("/v1/track", json=TRACK | {"writeKey": "wrong"})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.json()["message"] == refused.json()["detail"]
    assert [one.id for one in await appended(settings, engine, vault)] == ["m1", "m2", "m2"]


async def test_an_address_that_is_encoded_for_no_need_is_the_same(client: httpx.AsyncClient, key: Created) -> None:
    for path in ("/v1/%74rack", "/v1%2Ftrack"):
        assert (await client.post(path, json=TRACK, headers=basic(key))).status_code == 200
    picture = await client.get(f"/pixel/v1/%70age?writeKey={quote(key.secret)}&anonymousId=a1")
    assert "tierwise-rejected" not in picture.headers


async def test_what_was_not_taken_is_told(client: httpx.AsyncClient, key: Created) -> None:
    batch = [TRACK | {"type": "track"}, {"type": "track", "event": "E"}]
    partly = await client.post("/v1/batch", json={"batch": batch}, headers=basic(key))
    assert (partly.status_code, partly.json()["accepted"], partly.json()["rejected"]) == (200, 1, 1)
    (result,) = partly.json()["results"]
    assert (result["index"], result["code"], result["field"]) == (1, "missing_identifier", "userId")
    nothing = await client.post("/v1/identify", json={"userId": "u1", "traits": {"email": "x"}}, headers=basic(key))
    assert (nothing.status_code, nothing.json()["code"]) == (400, "none_accepted")
    assert nothing.json()["results"][0]["field"] == "traits.email"
    assert "traits.email" in nothing.json()["message"]
    large = await client.post("/v1/batch", content=b'{"batch":["' + b"x" * 600_000 + b'"]}', headers=basic(key))
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


async def test_a_page_says_more_than_it_may_and_the_rest_counts(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    public = await write_key(engine, vault, source="page", trust=BROWSER)
    message = {"type": "identify", "anonymousId": "a1", "userId": "boss", "traits": {"vip": True}}
    async with serving(settings) as client:
        answer = await client.post("/v1/batch", json={"batch": [message]}, headers=basic(public))
        metrics = (await client.get("/metrics")).text
    assert answer.json()["accepted"] == 1
    assert answer.json()["warnings"][-1]["fields"] == ["traits.vip", "userId"]
    assert 'tierwise_ingest_interactions_left_out_total{source="page"} 1.0' in metrics
    (interaction,) = await appended(settings, engine, vault)
    assert (interaction.identifiers, interaction.attributes) == ({"anonymous_id": "a1"}, {})


async def test_every_documented_example_is_accepted(client: httpx.AsyncClient, key: Created) -> None:
    document = (await client.get("/openapi.json")).json()
    tried = 0
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if operation["tags"] not in (["segment"], ["rudderstack"]) or "requestBody" not in operation:
                continue
            for media_type, content in operation["requestBody"]["content"].items():
                answer = await client.post(
                    f"{path}?writeKey={key.secret}" if path.startswith("/beacon") else path,
                    content=json.dumps(content["example"]),
                    headers=basic(key) | {"Content-Type": media_type},
                )
                assert answer.status_code == 200, (path, answer.text)
                if "segment" in operation["tags"]:
                    assert answer.json()["rejected"] == 0
                else:
                    assert (answer.text, answer.headers["tierwise-rejected"]) == ("OK", "0")
                tried += 1
    assert tried == 2 * 14 + 4


async def test_a_pixel_answers_with_a_picture(
    client: httpx.AsyncClient, key: Created, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    query = f"writeKey={quote(key.secret)}&anonymousId=a1"
    for path in ("/pixel/v1/page?name=Home&", "/pixel/v1/track?event=Signed%20Up&", "/pixel/v1/track?"):
        answer = await client.get(f"{path}{query}")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, GIF, "image/gif")
    assert [one.type for one in await appended(settings, engine, vault)] == ["page_view", "signup"]
    assert (await client.get("/pixel/v1/page?anonymousId=a1")).status_code == 401


async def test_what_a_webhook_sent_and_nobody_is_named_in_is_kept(
    client: httpx.AsyncClient, key: Created, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    documents = [{"id": 1, "email": "li@example.com"}, {"id": 2, "plan": "trial"}]
    answer = await client.post(f"/v1/webhook?writeKey={key.secret}", json=documents)
    assert (answer.status_code, answer.text) == (200, "OK")
    values = [record.value for record in await appended_records(settings, engine, vault)]
    (kept,) = [unmapped.decode(value) for value in values if value.startswith(b'{"unmapped"')]
    assert (kept.format, kept.code) == ("rudderstack_webhook", "missing_identifier")
    assert key.secret not in f"{kept.query}{kept.headers}"
    assert len(values) == 2
