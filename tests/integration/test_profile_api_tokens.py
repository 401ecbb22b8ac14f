"""Who may read what: browser tokens, an identity provider's JWTs, rates, origins, and the audit log."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.reader import bearer, key, reading
from tests.support.stored import happened, store_customer
from tierwise.db.tables import audit
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import Reader, revoke_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_profile_api.retention import forget
from tierwise_profile_api.tokens import seal_token

LI, WANG = 1, 2
LI_PATH, WANG_PATH = (f"/v1/customers/{public_id(number)}" for number in (LI, WANG))
BOUGHT = happened("order", "purchase", "2026-11-10T09:30:00+00:00", identifiers={"email": "li@example.com"})
LOOKED = happened("web", "page_view", "2026-11-10T09:30:00+00:00", identifiers={"user_id": "wang"})

Client = httpx.AsyncClient


@pytest.fixture(autouse=True)
async def people(engine: AsyncEngine, vault: Vault) -> None:
    async with engine.begin() as connection:
        await store_customer(connection, vault, LI, [BOUGHT])
        await store_customer(connection, vault, WANG, [LOOKED])


@pytest.fixture
async def backend(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Client]:
    """With the key that a shop's own backend has."""
    async with reading(settings, await key(engine, vault, "profiles:read", "timeline:read", "pii:read")) as client:
        yield client


async def token(client: Client, **wanted: Any) -> str:
    response = await client.post("/v1/tokens", json={"customer_id": public_id(LI), **wanted})
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    return str(response.json()["token"])


def is_refusal(response: httpx.Response, status: int, code: str) -> bool:
    assert response.headers["content-type"] == "application/problem+json"
    return (response.status_code, response.json()["code"]) == (status, code)


class TestBrowserTokens:
    async def test_it_reads_its_customer_in_the_header_and_in_the_address(self, backend: Client) -> None:
        made = await token(backend)
        assert (await backend.get(LI_PATH, headers=bearer(made))).status_code == 200
        del backend.headers["Authorization"]
        for rest in ("", "/why", "/changes", "/history"):
            response = await backend.get(LI_PATH + rest, params={"access_token": made})
            assert response.status_code == 200, response.text

    @pytest.mark.parametrize("path", [WANG_PATH, f"{WANG_PATH}/why", "/v1/customers", "/v1/customers/by/user_id/wang"])
    async def test_for_anything_else_it_is_refused(self, backend: Client, path: str) -> None:
        response = await backend.get(path, headers=bearer(await token(backend)))
        assert is_refusal(response, 403, "other_customer")
        assert public_id(LI) in response.json()["detail"]

    async def test_for_changes_of_others_it_is_refused(self, backend: Client) -> None:
        made = bearer(await token(backend))
        assert (await backend.get(f"/v1/changes/{public_id(LI)}:1/why", headers=made)).status_code == 200
        response = await backend.get(f"/v1/changes/{public_id(WANG)}:1/why", headers=made)
        assert is_refusal(response, 403, "other_customer")

    async def test_it_has_the_scopes_that_were_named_and_no_others(self, backend: Client) -> None:
        made = bearer(await token(backend))
        refused = await backend.get(f"{LI_PATH}/timeline", headers=made)
        assert is_refusal(refused, 403, "missing_scope")
        assert "l***@" in (await backend.get(LI_PATH, headers=made)).text
        more = bearer(await token(backend, scopes=["profiles:read", "timeline:read", "pii:read"]))
        assert "li@example.com" in (await backend.get(LI_PATH, headers=more)).text
        assert (await backend.get(f"{LI_PATH}/timeline", headers=more)).status_code == 200

    async def test_a_key_passes_on_only_what_it_holds_and_a_token_nothing(
        self, backend: Client, engine: AsyncEngine, vault: Vault
    ) -> None:
        made = await token(backend)
        wanted = {"customer_id": public_id(LI), "scopes": ["profiles:read", "pii:read"]}
        weak = bearer(await key(engine, vault, "profiles:read"))
        refused = await backend.post("/v1/tokens", json=wanted, headers=weak)
        assert is_refusal(refused, 403, "missing_scope")
        assert refused.json()["scope"] == "pii:read"
        assert is_refusal(await backend.post("/v1/tokens", json=wanted, headers=bearer(made)), 403, "token_not_allowed")

    async def test_it_ends_with_its_time_and_with_its_key(
        self, backend: Client, engine: AsyncEngine, vault: Vault, settings: Settings
    ) -> None:
        key_id = backend.headers["Authorization"].split("_")[2]
        reader = Reader(id=key_id, name="test", scopes=frozenset())
        past = datetime.now(UTC) - timedelta(seconds=60)
        ended, _ = seal_token(reader, customer=LI, scopes=("profiles:read",), now=past, expires_in_s=59, vault=vault)
        refused = await backend.get(LI_PATH, headers=bearer(ended))
        assert is_refusal(refused, 401, "unauthorized")
        assert "ended" in refused.json()["detail"]
        made = await token(backend)
        async with engine.begin() as connection:
            await revoke_key(connection, key_id)
        async with reading(settings, made) as elsewhere:
            assert is_refusal(await elsewhere.get(LI_PATH), 401, "unauthorized")

    async def test_an_altered_one_and_a_key_in_the_address_are_refused(self, backend: Client) -> None:
        made = await token(backend)
        secret = backend.headers.pop("Authorization").split()[1]
        for wrong in (made[:-3] + "AAA", made + "A", "tw_t_", "tw_t_é", "tw_t_" + "A" * 500, secret, "x"):
            assert is_refusal(await backend.get(LI_PATH, params={"access_token": wrong}), 401, "unauthorized")

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            (b"", 400, None),
            (b"[]", 400, None),
            (b'{"customer_id": 7}', 400, "customer_id"),
            (b'{"customer_id": "c_", "more": 1}', 400, None),
            (b'{"customer_id": "c_"}', 404, None),
            (json.dumps({"customer_id": public_id(99)}).encode(), 404, None),
            (json.dumps({"customer_id": public_id(LI), "expires_in_s": 0}).encode(), 400, "expires_in_s"),
            (json.dumps({"customer_id": public_id(LI), "expires_in_s": 3601}).encode(), 400, "expires_in_s"),
            (json.dumps({"customer_id": public_id(LI), "scopes": ["admin"]}).encode(), 400, "scopes"),
            (json.dumps({"customer_id": public_id(LI), "scopes": []}).encode(), 400, "scopes"),
            (b"[" * 100_000, 400, None),
            (b" " * 1_000_001, 413, None),
        ],
    )
    async def test_what_cannot_be_made_is_refused_by_name(
        self, backend: Client, body: bytes, status: int, field: str | None
    ) -> None:
        response = await backend.post("/v1/tokens", content=body)
        assert response.status_code == status
        assert response.json().get("field") == field


class Provider(BaseHTTPRequestHandler):
    """An OpenID Connect issuer that only publishes its keys."""

    keys: list[dict[str, Any]]

    def do_GET(self) -> None:
        issuer = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        found: Any = {"/keys": {"keys": self.keys}, "/.well-known/openid-configuration": {"jwks_uri": f"{issuer}/keys"}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found[self.path]).encode())

    def log_message(self, *_: object) -> None: ...


RSA, OTHER, EC = (
    rsa.generate_private_key(65537, 2048),
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
)


@pytest.fixture
def issuer() -> Iterator[str]:
    Provider.keys = [
        {**json.loads(RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "r", "use": "sig"},
        {**json.loads(ECAlgorithm.to_jwk(EC.public_key())), "kid": "e", "alg": "ES256"},
    ]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def signed(issuer: str, *, with_: Any = RSA, kid: str = "r", algorithm: str = "RS256", **claims: Any) -> dict[str, str]:
    said = {
        "iss": issuer, "aud": "tierwise", "sub": "u1", "email": "wang@example.com", "scope": "openid profiles:read",
        "exp": datetime.now(UTC) + timedelta(minutes=5), **claims,
    }  # fmt: skip
    return bearer(jwt.encode(said, with_, algorithm=algorithm, headers={"kid": kid}))


class TestIdentityProvider:
    @pytest.fixture
    async def client(self, settings: Settings, issuer: str) -> AsyncIterator[Client]:
        configured = settings.model_copy(update={"oidc_issuer": issuer, "oidc_audience": "tierwise"})
        async with reading(configured) as client:
            yield client

    async def test_its_jwts_are_read_keys_with_the_scopes_they_claim(self, client: Client, issuer: str) -> None:
        for headers in (signed(issuer), signed(issuer, with_=EC, kid="e", algorithm="ES256")):
            assert (await client.get(LI_PATH, headers=headers)).status_code == 200
        refused = await client.get(f"{LI_PATH}/timeline", headers=signed(issuer))
        assert is_refusal(refused, 403, "missing_scope")
        listed = signed(issuer, scope=["timeline:read", "nonsense", 7])
        assert (await client.get(f"{LI_PATH}/timeline", headers=listed)).status_code == 200
        assert is_refusal(await client.get(LI_PATH, headers=signed(issuer, scope=None)), 403, "missing_scope")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"aud": "another"},
            {"iss": "https://elsewhere.example"},
            {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
            {"exp": None},
            {"nbf": datetime(2100, 1, 1, tzinfo=UTC)},
            {"with_": OTHER},
            {"kid": "unknown"},
            {"with_": "tierwise" * 8, "algorithm": "HS256"},
            {"with_": None, "algorithm": "none"},
        ],
    )
    async def test_others_are_refused(self, client: Client, issuer: str, wrong: dict[str, Any]) -> None:
        assert is_refusal(await client.get(LI_PATH, headers=signed(issuer, **wrong)), 401, "unauthorized")

    async def test_while_nobody_publishes_keys_it_is_unavailable(self, settings: Settings) -> None:
        update = {"oidc_issuer": "http://127.0.0.1:9", "oidc_audience": "tierwise"}
        async with reading(settings.model_copy(update=update)) as client:
            assert is_refusal(await client.get(LI_PATH, headers=signed("http://127.0.0.1:9")), 503, "unavailable")


async def test_a_key_that_asks_too_often_is_told_when_to_ask_again(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    async with reading(settings, await key(engine, vault, rate_per_s=2)) as client:
        answers = [await client.get(LI_PATH) for _ in range(4)]
        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        assert is_refusal(answers[3], 429, "rate_limited")
        assert answers[3].headers["retry-after"] == "1"
        await asyncio.sleep(1)
        assert (await client.get(LI_PATH)).status_code == 200


async def test_pages_of_allowed_origins_may_read_and_see_why_not(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    origin = {"Origin": "https://shop.example"}
    allowed = settings.model_copy(update={"profile_api_origins": ("https://shop.example",)})
    async with reading(allowed, await key(engine, vault)) as client:
        preflight = {
            **origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        answer = await client.options(LI_PATH, headers=preflight)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        for headers in (origin, {**origin, "Authorization": "Bearer x"}):
            answer = await client.get(LI_PATH, headers=headers)
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        other = await client.get(LI_PATH, headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


class TestAudit:
    async def test_it_says_who_read_whose_unmasked_data(
        self, backend: Client, engine: AsyncEngine, vault: Vault
    ) -> None:
        await backend.get(LI_PATH)
        await backend.get(f"{WANG_PATH}/timeline")
        await backend.get("/v1/customers")
        await backend.get(f"{LI_PATH}/changes")
        await backend.get(LI_PATH, headers=bearer(await key(engine, vault)))
        shown = await token(backend, scopes=["profiles:read", "pii:read"])
        await backend.get(LI_PATH, headers=bearer(shown))
        admin = bearer(await key(engine, vault, "admin"))
        page = (await backend.get("/v1/audit", headers=admin)).json()
        template = "GET /v1/customers/{customer_id}"
        assert [(item["customer_id"], item["what"]) for item in page["items"]] == [
            (public_id(LI), template),
            (public_id(WANG), "GET /v1/customers"),
            (public_id(LI), "GET /v1/customers"),
            (public_id(WANG), f"{template}/timeline"),
            (public_id(LI), template),
        ]
        key_id = backend.headers["Authorization"].split("_")[2]
        assert {item["reader"] for item in page["items"]} == {key_id}
        assert page["items"][0]["name"] == "test (browser token)"

    async def test_it_goes_by_pages_and_narrows(self, backend: Client, engine: AsyncEngine, vault: Vault) -> None:
        for path in (LI_PATH, WANG_PATH, LI_PATH):
            await backend.get(path)
        backend.headers.update(bearer(await key(engine, vault, "admin")))
        first = (await backend.get("/v1/audit", params={"limit": 1, "customer_id": public_id(LI)})).json()
        on = {"cursor": first["next_cursor"], "customer_id": public_id(LI)}
        second = (await backend.get("/v1/audit", params=on)).json()
        assert [item["customer_id"] for item in first["items"] + second["items"]] == [public_id(LI)] * 2
        assert second["next_cursor"] is None
        assert (await backend.get("/v1/audit", params={"reader": "nobody"})).json()["items"] == []
        assert is_refusal(await backend.get("/v1/audit", params={"cursor": first["next_cursor"]}), 400, "bad_cursor")

    async def test_what_is_older_than_its_retention_is_forgotten(
        self, backend: Client, engine: AsyncEngine, vault: Vault
    ) -> None:
        for path in (LI_PATH, WANG_PATH):
            await backend.get(path)
        async with engine.begin() as connection:
            await connection.execute(
                update(audit).where(audit.c.customer_id == LI).values(at=datetime.now(UTC) - timedelta(days=31))
            )
        forgetting = asyncio.create_task(forget(engine, 30))
        admin = bearer(await key(engine, vault, "admin"))
        left = [public_id(LI), public_id(WANG)]
        async with asyncio.timeout(10):
            while left != [public_id(WANG)]:
                page = (await backend.get("/v1/audit", headers=admin)).json()
                left = [item["customer_id"] for item in page["items"]]
        forgetting.cancel()

    async def test_it_is_for_administrators(self, backend: Client) -> None:
        refused = await backend.get("/v1/audit")
        assert is_refusal(refused, 403, "missing_scope")
        assert refused.json()["scope"] == "admin"
