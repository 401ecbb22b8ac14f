"""Ingest as a sender sees it: the real application, on a real database and the embedded stream."""

import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended, appended_records, serving, write_key
from tierwise.domain.interaction import strongest
from tierwise.domain.source import BROWSER
from tierwise.security.keys import create_read_key, revoke_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings

PATH = "/v1/interactions"
ORDER = {
    "id": "ord-1042",
    "time": "2026-11-20T09:30:00+08:00",
    "channel": "order",
    "type": "purchase",
    "identifiers": {"user_id": "u7", "email": "Li@Example.com"},
    "attributes": {"region": "CN-31"},
    "properties": {"amount": "1299.00", "currency": "CNY"},
}
GOOD = json.dumps({"id": "good", "channel": "web", "type": "page_view", "identifiers": {"user_id": "u1"}}).encode()


@pytest.fixture
async def client(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    key = await write_key(engine, vault)
    async with serving(settings, key=key.secret) as client:
        yield client


def is_problem(response: httpx.Response, status: int, code: str) -> bool:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "detail"} <= problem.keys()
    return (response.status_code, problem["status"], problem["code"]) == (status, status, code)


async def test_an_accepted_interaction_is_on_the_stream_normalised(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    before = datetime.now(UTC)
    response = await client.post(PATH, json=ORDER)
    assert response.status_code == 202
    assert response.json() == {"accepted": 1, "rejected": 0, "results": []}
    (interaction,) = await appended(settings, engine, vault)
    assert (interaction.id, interaction.source) == ("ord-1042", "shop")
    assert interaction.identifiers == {"user_id": "u7", "email": "li@example.com"}
    assert interaction.time == datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
    assert before <= interaction.received <= datetime.now(UTC)
    assert interaction.properties == ORDER["properties"]


async def test_what_is_on_the_stream_is_keyed_by_the_strongest_identifier(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    await client.post(PATH, json=ORDER)
    (record,) = await appended_records(settings, engine, vault)
    assert record.key == vault.identifier_hash("user_id", "u7")
    assert strongest({"email": "a@example.com", "user_id": "u7"}) == ("user_id", "u7")


@pytest.mark.parametrize(
    ("body", "headers", "accepted"),
    [
        (json.dumps(ORDER), {"content-type": "application/json"}, 1),
        (json.dumps([ORDER, ORDER | {"id": "2"}]), {"content-type": "application/json; charset=utf-8"}, 2),
        (f"{json.dumps(ORDER)}\n\n{json.dumps(ORDER | {'id': '2'})}\n", {"content-type": "application/x-ndjson"}, 2),
        (gzip.compress(json.dumps([ORDER]).encode(), mtime=0), {"content-encoding": "gzip"}, 1),
        (
            gzip.compress(GOOD + b"\n" + GOOD, mtime=0),
            {"content-encoding": "gzip", "content-type": "application/x-ndjson"},
            2,
        ),
        ("[]", {}, 0),
    ],
)
async def test_one_an_array_or_ndjson_plain_or_gzip(
    client: httpx.AsyncClient, body: str | bytes, headers: dict[str, str], accepted: int
) -> None:
    response = await client.post(PATH, content=body, headers=headers)
    assert response.status_code == 202
    assert response.json() == {"accepted": accepted, "rejected": 0, "results": []}


async def test_with_neither_id_nor_time_the_answer_warns(client: httpx.AsyncClient) -> None:
    anonymous = {name: value for name, value in ORDER.items() if name not in ("id", "time")}
    answer = (await client.post(PATH, json=[ORDER, anonymous, {"channel": "web"}, anonymous])).json()
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["indexes"]) == ("retry_not_recognised", [1, 3])
    assert answer["accepted"] == 3


def spoilt(**change: Any) -> bytes:
    return json.dumps(ORDER | change).encode()


AHEAD = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
BAD_ITEMS = [
    (b"null", "not_an_object", None),
    (b'{"channel": "web"', "invalid_json", None),
    (spoilt().replace(b"u7", b"\xff\xfe"), "invalid_utf8", None),
    (spoilt(properties={"score": float("nan")}), "invalid_number", None),
    (spoilt(properties={"score": float("-inf")}), "invalid_number", None),
    (spoilt()[:-1] + b', "id": "again"}', "duplicate_key", "id"),
    (spoilt(properties=1).replace(b": 1", b": {" + b'"a": {' * 9_000 + b"}" * 9_001), "too_deep", None),
    (spoilt(properties={"a": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}), "too_deep", "properties"),
    (spoilt(id="x" * 100_000), "too_large", None),
    (spoilt(id="x" * 1_000), "invalid_id", "id"),
    (spoilt(time="0000-01-01T00:00:00Z"), "invalid_time", "time"),
    (spoilt(time="9999-12-31T23:59:59Z"), "time_in_future", "time"),
    (spoilt(time=AHEAD), "time_in_future", "time"),
    (spoilt(time="2026-11-20T09:30:00"), "invalid_time", "time"),
    (spoilt(properties={"amount": "-1"}), "invalid_amount", "properties.amount"),
    (spoilt(properties={"amount": "9" * 30}), "invalid_amount", "properties.amount"),
    (spoilt(properties={"amount": int("9" * 30)}), "invalid_properties", "properties.amount"),
    (spoilt(channel="fax"), "unknown_channel", "channel"),
    (spoilt(identifiers={}), "missing_identifier", "identifiers"),
    (json.dumps({"channel": "web", "type": "login"}).encode(), "missing_identifier", "identifiers"),
    (spoilt(identifiers={"user_id": "a\0b"}), "nul_character", "identifiers.user_id"),
    (spoilt(identifiers={"user_id": "\ud800"}), "lone_surrogate", "identifiers.user_id"),
    (spoilt(colour="red"), "unknown_field", "colour"),
    (spoilt(channel="crm", type="override"), "override_not_allowed", "type"),
]


@pytest.mark.parametrize("form", ["array", "ndjson"])
@pytest.mark.parametrize(("bad", "code", "field"), BAD_ITEMS, ids=[code for _, code, _ in BAD_ITEMS])
async def test_a_bad_item_is_named_and_its_neighbours_are_accepted(
    client: httpx.AsyncClient,
    settings: Settings,
    engine: AsyncEngine,
    vault: Vault,
    form: str,
    bad: bytes,
    code: str,
    field: str | None,
) -> None:
    parts = [GOOD, bad, GOOD]
    body = b"\n".join(parts) if form == "ndjson" else b"[" + b",".join(parts) + b"]"
    if form == "array" and code == "invalid_json":
        body = b"[" + b",".join([GOOD, b'{"channel": "web", }', GOOD]) + b"]"  # its brackets must close
    kind = {"content-type": "application/x-ndjson" if form == "ndjson" else "application/json"}
    response = await client.post(PATH, content=body, headers=kind)
    assert response.status_code == 202, response.text
    answer = response.json()
    assert (answer["accepted"], answer["rejected"]) == (2, 1)
    (result,) = answer["results"]
    assert (result["index"], result["status"], result["code"], result["field"]) == (1, "rejected", code, field)
    assert result["detail"]
    assert [interaction.id for interaction in await appended(settings, engine, vault)] == ["good", "good"]


async def test_when_none_is_accepted_the_answer_is_a_problem_with_results(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, content=b'{"channel": "web"}')
    assert is_problem(response, 400, "none_accepted")
    problem = response.json()
    assert (problem["accepted"], problem["rejected"]) == (0, 1)
    assert problem["results"][0]["code"] == "missing_type"


def bomb() -> bytes:
    squeeze = zlib.compressobj(9, wbits=31)
    return b"".join(squeeze.compress(bytes(1_000_000)) for _ in range(50)) + squeeze.flush()


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "invalid_body"),
        (b"", {"content-encoding": "gzip"}, 400, "invalid_body"),
        (b"hello", {}, 400, "invalid_body"),
        (b"[" + GOOD, {}, 400, "invalid_body"),
        (GOOD, {"content-type": "text/html"}, 415, "unsupported_media_type"),
        (GOOD, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (GOOD, {"content-encoding": "br"}, 415, "unsupported_media_type"),
        (gzip.compress(GOOD, mtime=0)[:-5], {"content-encoding": "gzip"}, 400, "invalid_body"),
        (GOOD, {"content-encoding": "gzip"}, 400, "invalid_body"),
        (bomb(), {"content-encoding": "gzip"}, 413, "too_large"),
        (spoilt(id="x" * 10_000_000), {}, 413, "too_large"),
        (b"[" + b",".join([GOOD] * 1_001) + b"]", {}, 413, "too_large"),
        (b"\n".join([GOOD] * 1_001), {"content-type": "application/x-ndjson"}, 413, "too_large"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_body_that_cannot_be_read_is_refused_whole(
    client: httpx.AsyncClient,
    settings: Settings,
    engine: AsyncEngine,
    vault: Vault,
    body: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    assert is_problem(await client.post(PATH, content=body, headers=headers), status, code)
    assert await appended(settings, engine, vault) == []


async def test_keys_are_taken_as_bearer_or_as_the_user_of_basic(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    secret = (await write_key(engine, vault)).secret
    basic = base64.b64encode(f"{secret}:".encode()).decode()
    async with serving(settings) as client:
        for value in (f"Bearer {secret}", f"bearer  {secret}", f"Basic {basic}"):
            assert (await client.post(PATH, json=ORDER, headers={"Authorization": value})).status_code == 202


async def test_without_a_good_key_nothing_is_read(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    revoked = await write_key(engine, vault)
    async with engine.begin() as connection:
        await revoke_key(connection, revoked.id)
        reader = await create_read_key(connection, vault, name="r")
    unknown = revoked.secret[:-3] + "abc"
    wrong = ["Bearer", "Bearer x", f"Bearer {unknown}", f"Bearer {revoked.secret}", f"Bearer {reader.secret}",
             "Basic !!!", "Basic " + base64.b64encode(b"\xff:").decode(), f"Digest {unknown}"]  # fmt: skip
    async with serving(settings) as client:
        for headers in [{}, *({"Authorization": value} for value in wrong)]:
            response = await client.post(PATH, json=ORDER, headers=headers)
            assert is_problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")
        answer = await client.post(PATH, json=ORDER, headers={"Authorization": f"Bearer {revoked.secret}"})
        assert "revoked" in answer.json()["detail"]


async def test_a_public_key_asserts_only_what_a_page_may(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    key = await write_key(engine, vault, source="page", trust=BROWSER)
    visit = {"channel": "web", "type": "page_view", "identifiers": {"anonymous_id": "a1"}}
    items = [
        visit,
        visit | {"channel": "order", "type": "purchase"},
        visit | {"identifiers": {"anonymous_id": "a1", "email": "boss@example.com"}},
        visit | {"attributes": {"vip": True}},
    ]
    async with serving(settings, key=key.secret) as client:
        answer = (await client.post(PATH, json=items)).json()
    codes = [(result["index"], result["code"]) for result in answer["results"]]
    assert codes == [(1, "channel_not_allowed"), (2, "identifier_not_allowed"), (3, "attribute_not_allowed")]
    (interaction,) = await appended(settings, engine, vault)
    assert not interaction.links


async def test_the_same_content_without_id_is_known_as_a_repeat(
    client: httpx.AsyncClient, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    content = {name: value for name, value in ORDER.items() if name != "id"}
    for body in (content, dict(reversed(content.items())), content | {"time": "2026-11-20T01:30:00Z"}):
        assert (await client.post(PATH, json=body)).json().keys() == {"accepted", "rejected", "results"}
    assert len({interaction.id for interaction in await appended(settings, engine, vault)}) == 1


async def test_what_is_older_than_the_horizon_is_refused(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    key = await write_key(engine, vault)
    limited = settings.model_copy(update={"deduplication_horizon_days": 30})
    async with serving(limited, key=key.secret) as client:
        response = await client.post(PATH, json=ORDER | {"time": "2020-01-01T00:00:00Z"})
    assert response.json()["results"][0]["code"] == "older_than_horizon"


async def test_every_error_of_the_framework_is_a_problem(client: httpx.AsyncClient) -> None:
    assert is_problem(await client.get("/nowhere"), 404, "not_found")
    response = await client.get(PATH)
    assert is_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "OPTIONS, POST"
    assert is_problem(await client.post("/openapi.json"), 405, "method_not_allowed")


async def test_the_contract_is_documented(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"][PATH]["post"]
    assert set(operation["responses"]) == {"202", "400", "401", "403", "413", "415", "429", "503"}
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert (await client.post(PATH, json=example["value"])).status_code == 202


async def test_health_readiness_and_metrics(client: httpx.AsyncClient) -> None:
    await client.post(PATH, content=b"[" + GOOD + b",null]")
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {name: {"ready": True} for name in ("database", "migrations", "stream")}
    metrics = (await client.get("/metrics")).text
    assert 'tierwise_ingest_interactions_accepted_total{source="shop"} 1.0' in metrics
    assert 'tierwise_ingest_interactions_rejected_total{code="not_an_object",source="shop"} 1.0' in metrics
    assert 'http_requests_total{method="POST",route="/v1/interactions",status="202"} 1.0' in metrics
    assert "tierwise_ingest_append_seconds_count 1.0" in metrics


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
claim_like = st.fixed_dictionaries({}, optional={name: json_values | st.just(value) for name, value in ORDER.items()})
bodies = st.one_of(
    (claim_like | json_values | st.lists(claim_like | json_values, max_size=3)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.binary(),
    st.binary().map(lambda noise: b"[" + noise),
    st.binary().map(lambda noise: b"{" + noise),
    st.binary().map(gzip.compress),
)


@given(
    body=bodies,
    kind=st.sampled_from(["application/json", "application/x-ndjson", "text/plain"]),
    encoding=st.sampled_from(["identity", "identity", "gzip"]),
)
@given_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_whatever_is_an_error_of_ours(
    client: httpx.AsyncClient, body: bytes, kind: str, encoding: str
) -> None:
    headers = {"content-type": kind, "content-encoding": encoding}
    response = await client.post(PATH, content=body, headers=headers)
    assert response.status_code in (202, 400, 415)
    if response.status_code != 202:
        assert response.headers["content-type"] == "application/problem+json"
