"""A customer as of any time: the same as the command says of a file, by the rulebook and cuts of then."""

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import tierwise
from tests.support.histories import random_history
from tests.support.product import Product, page_view, purchase
from tests.support.reader import key, reading
from tests.support.releases import publish, rulebook
from tests.support.scoring import score
from tierwise.cli import build
from tierwise.db import cuts
from tierwise.db.tables import cuts as cuts_table
from tierwise.db.tables import rulebooks
from tierwise.domain.cuts import Taken
from tierwise.domain.override import is_override
from tierwise.domain.rulebook import default_text, load
from tierwise.folding.past import Came, named_at
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_profile_api import past

Client = httpx.AsyncClient
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.fixture
async def client(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Client]:
    scopes = ("profiles:read", "pii:read", "timeline:read")
    async with reading(settings, await key(engine, vault, *scopes)) as client:
        yield client


async def path_of(client: Client, user: str = "u1") -> str:
    view = (await client.get(f"/v1/customers/by/user_id/{user}")).json()
    return f"/v1/customers/{view['customer_id']}"


async def as_of(client: Client, path: str, time: datetime, **parameters: str) -> dict[str, Any]:
    response = await client.get(path, params={"as_of": time.isoformat(), **parameters})
    assert response.status_code == 200, response.text
    view: dict[str, Any] = response.json()
    return view


def without_names(view: dict[str, Any]) -> dict[str, Any]:
    """Without the id, which a file cannot know, and what only the one or the other tells."""
    view["intent"].pop("points", None)
    return {name: value for name, value in view.items() if name not in ("customer_id", "version", "labels")}


class TestAgainstTheCommand:
    async def test_it_says_what_classifying_the_same_interactions_says(
        self, settings: Settings, product: Product, client: Client, tmp_path: Path
    ) -> None:
        file, times = tmp_path / "histories.ndjson", [NOW - 200 * DAY, NOW - 20 * DAY]
        file.write_bytes(msgspec.json.Encoder().encode_lines(self._items(customers=60)))
        done = await tierwise(settings, "import", str(file), "--source", "shop", "--json")
        assert done.status in (0, 1), done.stderr  # some of what is drawn is rejected, here as there
        await score(product.engine, product.stream, product.vault, settings)
        output = tmp_path / "out.ndjson"
        asked = [part for time in times for part in ("--as-of", time.isoformat())]
        said = CliRunner().invoke(build(), ["classify", str(file), *asked, "--source", "shop", "-o", str(output)])
        assert said.exit_code == 0, said.output
        rows = [json.loads(line) for line in output.read_bytes().splitlines()]
        assert len(rows) > 25
        for row in rows:
            [user] = [one["value"] for one in row["identifiers"]]
            view = await as_of(client, await path_of(client, user), datetime.fromisoformat(row["as_of"]))
            assert without_names(view) == without_names(row)

    def _items(self, customers: int) -> list[dict[str, Any]]:
        chance, zone = random.Random(3), load(default_text()).days.zone
        return [
            {
                "id": f"{customer}-{one.id}",
                "time": one.time,
                "channel": one.channel,
                "type": one.type,
                "identifiers": {"user_id": f"u{customer}"},
                "attributes": one.attributes,
                "properties": one.properties,
                "consent": one.scored,
            }
            for customer in range(customers)
            for one in random_history(chance, NOW, zone)
            if one.time <= NOW and not is_override(one)
        ]


class TestAsOf:
    async def test_what_came_later_is_not_there_yet_and_what_came_late_is(
        self, product: Product, client: Client
    ) -> None:
        old, new = purchase(1, "100.00", time=NOW - 40 * DAY), purchase(2, "900.00", time=NOW - DAY)
        await product.append(old, new)
        await product.score()
        path = await path_of(client)
        before = await as_of(client, path, NOW - 10 * DAY)
        assert (before["orders"]["amount"], before["interactions"]) == ("100.00", 1)
        assert before["as_of"] == before["classified_at"]
        assert "version" not in before
        await product.append(purchase(3, "7.00", time=NOW - 30 * DAY))
        await product.score()
        assert (await as_of(client, path, NOW - 10 * DAY))["orders"]["amount"] == "107.00"
        now = (await client.get(path)).json()
        today = await as_of(client, path, datetime.fromisoformat(now["classified_at"]))
        now["lifecycle"]["since"] = None
        assert without_names(today) == without_names(now) | {"as_of": now["classified_at"]}

    async def test_overrides_and_attributes_are_those_of_then(self, product: Product, client: Client) -> None:
        override = page_view(
            2,
            channel="crm",
            type="override",
            time=NOW - 20 * DAY,
            properties={"aspect": "tier", "value": "A", "reason": "r", "expires": (NOW - 10 * DAY).isoformat()},
        )
        moved = [
            page_view(number, time=NOW - age * DAY, attributes={"region": region})
            for number, age, region in ((1, 30, "CN-11"), (3, 15, "CN-31"))
        ]
        await product.append(override, *moved)
        await product.score()
        path = await path_of(client)
        grades, regions = [], []
        for age in (25, 17, 5):
            view = await as_of(client, path, NOW - age * DAY, fields="tier.grade,attributes.region,overrides")
            grades.append((view["tier"]["grade"] == "A", len(view["overrides"])))
            regions.append(view["attributes"]["region"])
        assert grades == [(False, 0), (True, 1), (False, 0)]
        assert regions == ["CN-11", "CN-11", "CN-31"]

    async def test_identifiers_are_those_of_then_and_merged_histories_are_one(
        self, product: Product, client: Client
    ) -> None:
        await product.append(
            page_view(1, time=NOW - 40 * DAY, identifiers={"email": "li@example.com"}),
            page_view(2, time=NOW - 30 * DAY),
        )
        await product.score()
        tie = {"user_id": "u1", "email": "li@example.com"}
        await product.append(page_view(3, time=NOW - DAY, identifiers=tie))
        await product.score()
        view = await as_of(client, await path_of(client), NOW - 20 * DAY)
        assert view["interactions"] == 2
        assert view["identifiers"] == [
            {"kind": "email", "value": "li@example.com"},
            {"kind": "user_id", "value": "u1"},
        ]
        async with product.engine.connect() as connection:
            merged = (await connection.execute(text("SELECT count(*) FROM customers WHERE merged_into > 0"))).scalar()
        assert merged == 1

    async def test_before_it_was_seen_there_is_a_404_and_of_the_future_a_400(
        self, product: Product, client: Client
    ) -> None:
        await product.append(page_view(1, time=NOW - DAY))
        await product.score()
        path = await path_of(client)
        early = await client.get(path, params={"as_of": (NOW - 2 * DAY).isoformat()})
        assert (early.status_code, early.json()["code"]) == (404, "not_seen_yet")
        for wrong in ("2999-01-01T00:00:00Z", "yesterday", "2026-11-01", ""):
            response = await client.get(path, params={"as_of": wrong})
            assert (response.status_code, response.json()["field"]) == (400, "as_of"), wrong
        response = await client.get(path, params={"as_of": NOW.isoformat(), "rulebook": "next"})
        assert (response.status_code, response.json()["field"]) == (400, "rulebook")

    async def test_a_history_that_is_too_long_is_refused_with_a_reason(
        self, product: Product, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await product.append(*(page_view(number, time=NOW - DAY) for number in range(6)))
        await product.score()
        monkeypatch.setattr(past, "INTERACTIONS_MAX", 5)
        path = await path_of(client)
        for rest, parameters in (("", {"as_of": NOW.isoformat()}), ("/history", {})):
            response = await client.get(path + rest, params=parameters)
            assert (response.status_code, response.json()["code"]) == (400, "history_too_long")


class TestRulebookOfThen:
    @pytest.fixture
    async def path(self, product: Product, client: Client, engine: AsyncEngine) -> str:
        """Two rulebooks: the first one until 20 days ago; cuts of the second since 10 days ago."""
        await product.append(purchase(1, "100.00", time=NOW - 40 * DAY), purchase(2, "1.00", time=NOW - DAY))
        await product.score()
        await publish(engine, rulebook("second", ("{A: 65, B: 45", "{A: 66, B: 45")))
        async with engine.begin() as connection:
            number = await cuts.add(connection, 2, Taken(20_000, (4, 3, 2, 1), 7), quiet=False)
            await connection.execute(update(rulebooks).where(rulebooks.c.id == 1).values(published_at=NOW - 30 * DAY))
            await connection.execute(update(rulebooks).where(rulebooks.c.id == 2).values(published_at=NOW - 20 * DAY))
            await connection.execute(update(cuts_table).values(taken_at=NOW - 10 * DAY))
            assert number == 1
        return await path_of(client)

    async def test_each_time_has_the_rulebook_and_cuts_of_then(self, path: str, client: Client) -> None:
        found = [await as_of(client, path, NOW - age * DAY) for age in (35, 25, 15, 5)]
        assert [(view["rulebook"], view["cuts"]) for view in found] == [
            ("2026-11", None),
            ("2026-11", None),
            ("second", None),
            ("second", 1),
        ]
        assert found[3]["tier"]["grade"] == "A" != found[2]["tier"]["grade"]
        today = await as_of(client, path, NOW - 35 * DAY, rulebook="current")
        assert (today["rulebook"], today["cuts"], today["tier"]["grade"]) == ("second", 1, "A")

    async def test_why_is_as_of_then_too(self, path: str, client: Client) -> None:
        view = await as_of(client, path, NOW - 15 * DAY)
        why = (await client.get(f"{path}/why", params={"as_of": (NOW - 15 * DAY).isoformat()})).json()
        assert (why["rulebook"], why["cuts"], why["as_of"]) == ("second", None, view["as_of"])
        assert why["tier"]["grade"] == view["tier"]["grade"]
        assert {part["name"]: part["score"] for part in why["tier"]["parts"]} == view["tier"]["dimensions"]

    async def test_a_series_has_the_points_that_as_of_gives(self, path: str, client: Client) -> None:
        given = {"from": (NOW - 50 * DAY).isoformat(), "to": NOW.isoformat(), "step": "1w"}
        response = await client.get(f"{path}/history", params=given)
        points = response.json()["points"]
        assert [point["at"] for point in points] == [
            (NOW - age * DAY).isoformat().replace("+00:00", "Z") for age in (36, 29, 22, 15, 8, 1, 0)
        ]
        for point in points:
            view = await as_of(client, path, datetime.fromisoformat(point["at"]))
            assert (point["intent"], point["tier"]) == (view["intent"], view["tier"])
            assert point["lifecycle"]["stage"] == view["lifecycle"]["stage"]
            assert (point["rulebook"], point["cuts"]) == (view["rulebook"], view["cuts"])

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"step": "1h"}, "step"),
            ({"step": "0d"}, "step"),
            ({"from": "1971-01-01T00:00:00Z"}, "step"),
            ({"from": "2999-01-01T00:00:00Z"}, "from"),
            ({"to": "2999-01-01T00:00:00Z"}, "to"),
            ({"to": "soon"}, "to"),
        ],
    )
    async def test_a_series_that_cannot_be_is_a_400(
        self, path: str, client: Client, parameters: dict[str, str], field: str
    ) -> None:
        response = await client.get(f"{path}/history", params=parameters)
        assert (response.status_code, response.json()["field"]) == (400, field)


class TestWhyOfAChange:
    async def test_every_change_is_explained_as_it_was_published(self, product: Product, client: Client) -> None:
        await product.append(page_view(1, properties={"path": "/pricing"}))
        await product.score()
        await product.append(*(purchase(number, "5000.00", time=datetime.now(UTC)) for number in range(2, 9)))
        await product.score()
        path = await path_of(client)
        changes = (await client.get(f"{path}/changes", params={"limit": 200})).json()["items"]
        assert len(changes) > 10
        for change in changes:
            response = await client.get(f"/v1/changes/{change['id']}/why")
            assert response.status_code == 200, response.text
            why = response.json()
            assert why["change"] == change
            assert why["agrees"], (change["aspect"], change["to"])
        [first_tier] = [one for one in changes if one["aspect"] == "tier" and one["from"] is None]
        why = (await client.get(f"/v1/changes/{first_tier['id']}/why")).json()
        assert why["tier"]["grade"] == first_tier["to"]
        assert why["as_of"] == first_tier["at"]

    async def test_where_something_came_late_it_says_that_it_differs(self, product: Product, client: Client) -> None:
        await product.append(page_view(1))
        await product.score()
        await product.append(*(purchase(number, "9000.00", time=NOW - number * DAY) for number in range(2, 9)))
        await product.score()
        changes = (await client.get(f"{await path_of(client)}/changes?aspect=tier")).json()["items"]
        late = (await client.get(f"/v1/changes/{changes[-1]['id']}/why")).json()
        assert (late["agrees"], late["tier"]["grade"]) == (False, changes[0]["to"])

    async def test_a_merge_has_no_rule_and_unknown_ones_are_404s(self, product: Product, client: Client) -> None:
        await product.append(page_view(1), page_view(2, identifiers={"email": "li@example.com"}))
        await product.score()
        await product.append(page_view(3, identifiers={"user_id": "u1", "email": "li@example.com"}))
        await product.score()
        path = await path_of(client)
        [merge] = (await client.get(f"{path}/changes?aspect=merge")).json()["items"]
        response = await client.get(f"/v1/changes/{merge['id']}/why")
        assert (response.status_code, response.json()["code"]) == (404, "nothing_to_explain")
        customer = path.rpartition("/")[2]
        for id_ in (f"{customer}:999", f"{customer}:0", f"{customer}:99999999999", customer, "c_:1", f"{customer}:x"):
            response = await client.get(f"/v1/changes/{id_}/why")
            assert (response.status_code, response.json()["code"]) == (404, "unknown_change")


class TestChangesFilters:
    async def test_they_narrow_by_aspect_and_time(self, product: Product, client: Client) -> None:
        await product.append(page_view(1), *(purchase(number, "90.00") for number in range(2, 9)))
        await product.score()
        path = f"{await path_of(client)}/changes"
        everything = (await client.get(path)).json()["items"]

        async def aspects(**parameters: Any) -> set[str]:
            items = (await client.get(path, params=parameters)).json()["items"]
            return {item["aspect"] for item in items}

        tags = {item["aspect"] for item in everything if item["aspect"].startswith("tag:")}
        assert await aspects(aspect="tier") == {"tier"}
        assert await aspects(aspect="tag") == tags
        assert await aspects(aspect=["lifecycle", min(tags)]) == {"lifecycle", min(tags)}
        moment = everything[0]["at"]
        assert await aspects(to=moment) == set()
        assert await aspects(**{"from": moment, "aspect": "intent"}) == {"intent"}

    @pytest.mark.parametrize("aspect", ["teir", "tag:", "tag:%", "tag:a.b'", "%", ""])
    async def test_an_unknown_aspect_is_a_400(self, product: Product, client: Client, aspect: str) -> None:
        await product.append(page_view(1))
        await product.score()
        response = await client.get(f"{await path_of(client)}/changes", params={"aspect": aspect})
        assert (response.status_code, response.json()["field"]) == (400, "aspect")


def test_before_the_first_rulebook_the_first_one_holds_and_cuts_are_of_their_own_rulebook() -> None:
    books = [Came(1, 1, NOW), Came(2, 2, NOW + 2 * DAY)]
    cuts_ = [Came(7, 1, NOW + DAY), Came(8, 2, NOW + 3 * DAY)]
    found = [named_at(NOW + days * DAY, books, cuts_) for days in (-1, 0, 1, 2, 3)]
    assert found == [(1, None), (1, None), (1, 7), (2, None), (2, 8)]
