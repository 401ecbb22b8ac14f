"""Each service runs as a role of its own that may do what it has to, and no more."""

import re
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from tests.support.database import SECRET_KEY
from tests.support.services import Deployment, Service, until
from tierwise.db.migrate import METADATA
from tierwise.db.roles import PRIVILEGES
from tierwise.security.keys import SCOPES

EVENT = {"channel": "web", "type": "page_view", "identifiers": {"email": "li@example.com"}}
READS = {"kind": "email", "value": "li@example.com", "name": "crm"}

FORBIDDEN = {
    "ingest": [
        "SELECT FROM customers",
        "SELECT FROM identifiers",
        "SELECT FROM interactions",
        "SELECT FROM changes",
        "SELECT payload FROM stream_batches",
        "UPDATE keys SET revoked_at = NULL",
        "CREATE TABLE mine ()",
    ],
    "profile-api": [
        "UPDATE customers SET version = 0",
        "DELETE FROM interactions",
        "UPDATE audit SET name = 'somebody else'",
        "SELECT payload FROM stream_batches",
    ],
    "scoring": ["SELECT hash FROM keys", "SELECT FROM audit", "DROP TABLE customers"],
}


def test_of_every_table_it_is_said_who_may_do_what() -> None:
    assert set(PRIVILEGES) == {*METADATA.tables, "alembic_version"}


async def test_a_service_is_refused_what_is_not_its_own(embedded: Deployment) -> None:
    for service, statements in FORBIDDEN.items():
        connection = await asyncpg.connect(embedded.dsn_of(service))
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


async def test_as_their_roles_the_services_do_everything(embedded: Deployment) -> None:
    ingest, api = await embedded.start_all("ingest", "profile-api")
    await embedded.scoring(1)
    headers = await embedded.read_key("administrator", SCOPES)
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=20) as client:
        customer = await known(embedded, ingest, client)
        document = (await client.get("/openapi.json")).json()
        subscription = await subscribed(client)
        await said(client, customer)
        given = READS | {"customer_id": customer, "subscription_id": subscription, "aspect": "tier"}
        changes = (await client.get(f"/v1/customers/{customer}/changes")).json()["items"]
        given["change_id"] = changes[0]["id"]
        refused = {path: await status(client, path, given) for path in reads(document)}
        for path in (f"/v1/subscriptions/{subscription}", "/v1/segments/crm"):
            assert (await client.delete(path)).is_success
    assert {path: code for path, code in refused.items() if code >= 400} == {}
    logged = embedded.said()
    assert "permission denied" not in logged
    for secret in (SECRET_KEY, headers["Authorization"].removeprefix("Bearer ")):
        assert secret not in logged


async def known(deployment: Deployment, ingest: Service, client: httpx.AsyncClient) -> str:
    key = await deployment.write_key("shop")
    async with httpx.AsyncClient(base_url=ingest.url, headers=key) as sender:
        assert (await sender.post("/v1/interactions", json=[EVENT | {"id": str(one)} for one in range(5)])).is_success

    async def there() -> bool:
        return (await client.get("/v1/customers/by/email/li@example.com")).is_success

    await until(there, within_s=20, told=deployment.said)
    return str((await client.get("/v1/customers/by/email/li@example.com")).json()["customer_id"])


async def subscribed(client: httpx.AsyncClient) -> str:
    """What administrators do: a source, a subscription."""
    steps = [
        ("POST", "/v1/sources", {"name": "crm", "trust": "backend"}),
        ("POST", "/v1/sources/crm/rotate", {"what": "key"}),
        ("PATCH", "/v1/sources/crm", {"intake": {"rate_limit": None}}),
        ("POST", "/v1/segments", {"name": "crm", "filter": "tier = 'E'"}),
        ("POST", "/v1/subscriptions", {"url": "https://crm.example/tierwise"}),
    ]
    for step in steps:
        answer = await done(client, *step)
    found, now = str(answer["subscription"]["id"]), datetime.now(UTC).isoformat()
    for step in (
        ("POST", "test", {}),
        ("POST", "rotate", {}),
        ("POST", "replay", {"from": "2026-01-01T00:00:00Z", "to": now}),
    ):
        await done(client, step[0], f"/v1/subscriptions/{found}/{step[1]}", step[2])
    return found


async def said(client: httpx.AsyncClient, customer: str) -> None:
    """What people say of a customer."""
    for path, body in (
        ("overrides", {"aspect": "tier", "value": "A", "reason": "an old friend"}),
        ("notes", {"text": "called"}),
        ("attributes", {"attributes": {"region": "CN-31"}}),
    ):
        await done(client, "POST", f"/v1/customers/{customer}/{path}", body)
    await done(client, "POST", "/v1/tokens", {"customer_id": customer})
    await done(client, "POST", "/v1/customers/lookup", {"customers": [customer]})


async def done(client: httpx.AsyncClient, method: str, path: str, body: Any) -> Any:
    answer = await client.request(method, path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    return msgspec.json.decode(answer.content) if answer.content else None


def reads(document: dict[str, Any]) -> list[str]:
    found = [path for path, methods in document["paths"].items() if "get" in methods and not path.endswith("/live")]
    return [path + "?by=tier" if path.endswith("/distribution") else path for path in found]


async def status(client: httpx.AsyncClient, path: str, given: dict[str, str]) -> int:
    answer = await client.get(re.sub(r"{(\w+)}", lambda found: given[found[1]], path))
    assert answer.status_code < 500, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.status_code
