"""One interaction from HTTP to the profile and to the topics, on both streams."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from tests.support.published import Event, published_in_tables, published_on_kafka, sequences, unrepeated
from tests.support.services import Deployment, until

VISIBLE_WITHIN_S = 10.0
PROFILE = "/v1/customers/by/email/li@example.com"
ORDER = {
    "id": "ord-1042",
    "channel": "order",
    "type": "purchase",
    "identifiers": {"user_id": "u7", "email": "Li@Example.com"},
    "attributes": {"region": "CN-31"},
    "properties": {"amount": "1299.00", "currency": "CNY", "category": "courses"},
}


async def test_an_interaction_shows_in_the_profile_and_the_same_again_changes_nothing(deployment: Deployment) -> None:
    ingest, _, api = await deployment.start_all("ingest", "scoring", "profile-api")
    write, read = await deployment.write_key("shop"), await deployment.read_key("desk")
    item = ORDER | {"time": datetime.now(UTC).isoformat()}
    async with (
        httpx.AsyncClient(base_url=ingest.url, headers=write, timeout=30) as sending,
        httpx.AsyncClient(base_url=api.url, headers=read, timeout=30) as reading,
    ):
        assert (await reading.get(PROFILE)).status_code == 404
        assert (await sending.post("/v1/interactions", json=item)).json()["accepted"] == 1
        view = await _view_with(reading, interactions=1, deployment=deployment)
        assert Decimal(view["orders"]["amount"]) == Decimal("1299.00")
        assert view["attributes"]["region"] == "CN-31"

        for _ in range(3):
            assert (await sending.post("/v1/interactions", json=item)).json()["accepted"] == 1
        # What is sent after the repeats is scored after them: they have had their effect when it shows.
        other = item | {"id": "ord-1043", "identifiers": {"user_id": "u7", "email": "li@example.com"}}
        unchanged = (await reading.get(PROFILE)).json()
        assert (await sending.post("/v1/interactions", json=other)).json()["accepted"] == 1
        second = await _view_with(reading, interactions=2, deployment=deployment)
        assert unchanged == view
        assert second["version"] == view["version"] + 1
        changes = (await reading.get(f"/v1/customers/{view['customer_id']}/changes")).json()["items"]
    await _until_published(deployment, view["customer_id"], len(changes))


async def _view_with(reading: httpx.AsyncClient, *, interactions: int, deployment: Deployment) -> dict[str, Any]:
    view: dict[str, Any] = {}

    async def there() -> bool:
        nonlocal view
        response = await reading.get(PROFILE)
        view = response.json() if response.status_code == 200 else {}
        return view.get("interactions") == interactions

    await until(there, within_s=VISIBLE_WITHIN_S, told=deployment.said)
    return view


async def _until_published(deployment: Deployment, customer: str, changes: int) -> None:
    events: list[Event] = []

    async def all_there() -> bool:
        nonlocal events
        if deployment.bootstrap_servers is None:
            events = await published_in_tables(deployment.dsn, deployment.directory)
        else:
            events = await published_on_kafka(deployment.bootstrap_servers)
        return len(unrepeated(events)) >= changes

    await until(all_there, within_s=VISIBLE_WITHIN_S, told=lambda: f"{events}{deployment.said()}")
    assert changes > 3
    assert sequences(unrepeated(events)) == {customer: list(range(1, changes + 1))}
