"""The profile API as a reader sees it, on a real database."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.stored import happened, store_customer
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import DEFAULT_SCOPES, create_read_key, revoke_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app

LI, WANG, LOSER = 1, 2, 3

WHAT_LI_DID = [
    happened("web", "page_view", "2026-11-01T08:00:00+00:00", identifiers={"anonymous_id": "a1"}),
    happened(
        "order",
        "purchase",
        "2026-11-10T09:30:00.123456+00:00",
        id="ord-1042",
        identifiers={"user_id": "u7", "email": "li@example.com"},
        attributes={"region": "CN-31", "name": "李雷"},
        properties={"amount": "1299.00", "currency": "CNY", "email": "li@work.example"},
    ),
    happened("email", "clicked", "2026-11-12T00:00:00+00:00", identifiers={"email": "li@example.com"}),
]
WHAT_WANG_DID = [
    happened("web", "page_view", "2025-01-01T00:00:00+00:00", id=f"v{n}", identifiers={"user_id": "wang/1"})
    for n in range(3)
]
WHAT_THE_LOSER_DID = [
    happened("call", "completed", "2026-11-11T00:00:00+00:00", identifiers={"phone": "+8613800138000"})
]

Client = httpx.AsyncClient


@pytest.fixture
async def people(engine: AsyncEngine, vault: Vault) -> None:
    async with engine.begin() as connection:
        await store_customer(connection, vault, LI, WHAT_LI_DID, version=17)
        await store_customer(connection, vault, WANG, WHAT_WANG_DID)
        await store_customer(connection, vault, LOSER, WHAT_THE_LOSER_DID, merged_into=LI)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Client]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        Client(transport=httpx.ASGITransport(app), base_url="http://profile-api") as client,
    ):
        yield client


@pytest.fixture
async def anyone(settings: Settings) -> AsyncIterator[Client]:
    """Without a key."""
    async with serving(settings) as client:
        yield client


Holding = Callable[..., Awaitable[Client]]


@pytest.fixture
def holding(anyone: Client, engine: AsyncEngine, vault: Vault) -> Holding:
    """The client, with a new key of these scopes."""

    async def with_key(*scopes: str) -> Client:
        async with engine.begin() as connection:
            key = await create_read_key(connection, vault, name="test", scopes=scopes or DEFAULT_SCOPES)
        anyone.headers["Authorization"] = f"Bearer {key.secret}"
        return anyone

    return with_key


@pytest.fixture
async def client(people: None, holding: Holding) -> Client:
    return await holding()


def is_problem(response: httpx.Response, status: int, code: str) -> bool:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["detail"]
    return (response.status_code, problem["status"], problem["code"]) == (status, status, code)


class TestCurrentView:
    async def test_by_id_it_has_all_that_the_interface_promises(self, client: Client) -> None:
        response = await client.get(f"/v1/customers/{public_id(LI)}")
        assert response.status_code == 200
        view = response.json()
        assert view["customer_id"] == public_id(LI)
        assert view["identifiers"] == [
            {"kind": "anonymous_id", "value": "a1"},
            {"kind": "email", "value": "l***@example.com"},
            {"kind": "phone", "value": "+86138****8000"},
            {"kind": "user_id", "value": "u7"},
        ]
        assert view["attributes"] == {"name": "李***", "region": "CN-31"}
        assert view["orders"]["amount"] == "1299.00"
        assert view["tier"]["grade"] in "ABCDE"
        assert (view["interactions"], view["version"], view["rulebook"]) == (3, 17, "2026-11")
        assert "merged_into" not in view

    async def test_personal_data_is_shown_to_a_key_that_may_see_it(self, people: None, holding: Holding) -> None:
        client = await holding("profiles:read", "pii:read")
        view = (await client.get(f"/v1/customers/{public_id(LI)}")).json()
        assert {"kind": "email", "value": "li@example.com"} in view["identifiers"]
        assert view["attributes"]["name"] == "李雷"

    @pytest.mark.parametrize("path", ["email/%20LI@Example.com", "user_id/u7", "phone/138%200013%208000"])
    async def test_by_identifier_it_is_normalised_as_at_ingest(self, client: Client, path: str) -> None:
        response = await client.get(f"/v1/customers/by/{path}")
        assert response.json()["customer_id"] == public_id(LI)

    async def test_an_identifier_may_hold_a_slash(self, client: Client) -> None:
        response = await client.get("/v1/customers/by/user_id/wang%2F1")
        assert response.json()["customer_id"] == public_id(WANG)

    async def test_a_merged_id_answers_with_the_winner_and_says_so(self, client: Client) -> None:
        view = (await client.get(f"/v1/customers/{public_id(LOSER)}")).json()
        assert view["customer_id"] == view["merged_into"] == public_id(LI)
        assert view["requested_id"] == public_id(LOSER)

    @pytest.mark.parametrize("id_", [public_id(99), "c_0000000000000", "c_", "7", "c_%00%00", "é" * 15])
    async def test_an_unknown_id_is_a_404_problem(self, client: Client, id_: str) -> None:
        for rest in ("", "/timeline", "/changes"):
            assert is_problem(await client.get(f"/v1/customers/{id_}{rest}"), 404, "unknown_customer")

    async def test_an_unknown_identifier_is_a_404_and_an_impossible_one_a_400(self, client: Client) -> None:
        assert is_problem(await client.get("/v1/customers/by/user_id/nobody"), 404, "unknown_customer")
        assert is_problem(await client.get("/v1/customers/by/nonsense/%00"), 404, "unknown_customer")
        assert is_problem(await client.get("/v1/customers/by/email/nobody"), 400, "bad_parameter")

    async def test_what_the_caller_holds_already_is_not_sent_again(self, client: Client) -> None:
        path = f"/v1/customers/{public_id(LI)}"
        tag = (await client.get(path)).headers["etag"]
        again = await client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        chinese = await client.get(path, headers={"If-None-Match": tag, "Accept-Language": "zh-CN"})
        assert chinese.status_code == 200

    async def test_labels_are_in_the_language_that_is_read(self, client: Client) -> None:
        for path in (f"/v1/customers/{public_id(LI)}", "/v1/customers/by/user_id/u7"):
            english = (await client.get(path)).json()
            chinese = (await client.get(path, headers={"Accept-Language": "fr, zh-CN;q=0.8, en;q=0.5"})).json()
            assert english["labels"]["language"] == "en"
            labels = chinese.pop("labels")
            assert (labels["language"], labels["dimensions"]["value"]) == ("zh", "价值")
            assert labels["tags"] == {tag["name"]: tag["label"]["zh"] for tag in chinese["tags"]}
            assert labels["lifecycle"] != english["labels"]["lifecycle"]
            assert chinese == {name: value for name, value in english.items() if name != "labels"}

    async def test_the_entity_tag_of_a_masked_view_does_not_match_the_whole_one(
        self, client: Client, holding: Holding
    ) -> None:
        path = f"/v1/customers/{public_id(LI)}"
        tag = (await client.get(path)).headers["etag"]
        personal = await holding("profiles:read", "pii:read")
        assert (await personal.get(path, headers={"If-None-Match": tag})).status_code == 200


class TestList:
    async def test_it_goes_by_id_and_leaves_merged_customers_out(self, client: Client) -> None:
        body = (await client.get("/v1/customers")).json()
        assert [item["customer_id"] for item in body["items"]] == [public_id(LI), public_id(WANG)]
        assert body["next_cursor"] is None

    async def test_pages_follow_each_other(self, client: Client) -> None:
        first = (await client.get("/v1/customers?limit=1")).json()
        second = (await client.get("/v1/customers", params={"limit": 5, "cursor": first["next_cursor"]})).json()
        assert [item["customer_id"] for item in first["items"] + second["items"]] == [public_id(LI), public_id(WANG)]
        assert second["next_cursor"] is None

    async def test_filters_narrow_and_several_values_of_one_widen(self, client: Client) -> None:
        everyone = (await client.get("/v1/customers")).json()["items"]
        li, wang = everyone
        assert li["lifecycle"]["stage"] != wang["lifecycle"]["stage"]
        stages = [item["lifecycle"]["stage"] for item in everyone]

        async def found(**params: str | list[str]) -> list[str]:
            response = await client.get("/v1/customers", params=params)
            return [item["customer_id"] for item in response.json()["items"]]

        assert await found(stage=stages[0]) == [public_id(LI)]
        assert await found(stage=stages) == [public_id(LI), public_id(WANG)]
        assert await found(stage=stages[0], tier=li["tier"]["grade"], intent=li["intent"]["level"]) == [public_id(LI)]
        tag = next(tag for tag in li["tags"] if tag not in wang["tags"])
        assert await found(tag=f"{tag['name']}:{tag['value']}") == [public_id(LI)]
        assert await found(tag=f"{tag['family']}.{tag['name']}:{tag['value']}") == [public_id(LI)]
        assert await found(tag=f"{tag['name']}:{tag['value']}", stage=stages[1]) == []

    async def test_a_page_of_a_filtered_list_goes_on_in_it_alone(self, client: Client) -> None:
        items = (await client.get("/v1/customers")).json()["items"]
        both = {"stage": [item["lifecycle"]["stage"] for item in items]}
        first = (await client.get("/v1/customers", params={**both, "limit": 1})).json()
        on = {"cursor": first["next_cursor"]}
        second = (await client.get("/v1/customers", params={**both, **on})).json()
        assert [item["customer_id"] for item in second["items"]] == [public_id(WANG)]
        assert is_problem(await client.get("/v1/customers", params=on), 400, "bad_cursor")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=9999999999999999999999", "limit"),
            ("limit=x", "limit"),
            ("tier=F", "tier"),
            ("tier=", "tier"),
            ("intent=hot", "intent"),
            ("stage=' OR 1=1 --", "stage"),
            ("tag=browsing", "tag"),
            ("tag=nothing:high", "tag"),
            ("tag=browsing:%00", "tag"),
            ("teir=A", "teir"),
            ("cursor=" + "x" * 401, "cursor"),
        ],
    )
    async def test_a_bad_parameter_is_a_400_naming_it(self, client: Client, query: str, field: str) -> None:
        response = await client.get(f"/v1/customers?{query}")
        assert is_problem(response, 400, "bad_parameter")
        assert response.json()["field"] == field


class TestTimeline:
    async def test_it_is_newest_first_with_what_was_merged_in(self, client: Client) -> None:
        items = (await client.get(f"/v1/customers/{public_id(LI)}/timeline")).json()["items"]
        assert [item["channel"] for item in items] == ["email", "call", "order", "web"]
        assert items[2] == {
            "id": "ord-1042",
            "source": "shop",
            "time": "2026-11-10T09:30:00.123456Z",
            "received": "2026-11-10T09:30:00.123456Z",
            "channel": "order",
            "type": "purchase",
            "attributes": {"region": "CN-31", "name": "李***"},
            "properties": {"amount": "1299.00", "currency": "CNY", "email": "l***@work.example"},
            "identifiers": [{"kind": "user_id", "value": "u7"}, {"kind": "email", "value": "l***@example.com"}],
        }

    async def test_of_a_merged_id_it_is_the_winners(self, client: Client) -> None:
        winner = (await client.get(f"/v1/customers/{public_id(LI)}/timeline")).json()
        assert (await client.get(f"/v1/customers/{public_id(LOSER)}/timeline")).json() == winner

    async def test_pages_follow_each_other_even_within_one_instant(self, client: Client) -> None:
        path, ids, cursor = f"/v1/customers/{public_id(WANG)}/timeline", [], None
        for _ in range(3):
            params = {"limit": 1} if cursor is None else {"limit": 1, "cursor": cursor}
            page = (await client.get(path, params=params)).json()
            ids += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert sorted(ids) == ["v0", "v1", "v2"]
        assert cursor is None

    async def test_filters_narrow(self, client: Client) -> None:
        async def channels(**params: str | list[str]) -> list[str]:
            response = await client.get(f"/v1/customers/{public_id(LI)}/timeline", params=params)
            assert response.status_code == 200, response.text
            return [item["channel"] for item in response.json()["items"]]

        assert await channels(channel=["web", "call"]) == ["call", "web"]
        assert await channels(type="clicked") == ["email"]
        assert await channels(**{"from": "2026-11-11T00:00:00Z", "to": "2026-11-12T00:00:00Z"}) == ["call"]
        assert await channels(to="2026-11-01T16:00:00+08:00") == []
        assert await channels(**{"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z", "type": "clicked"}) == [
            "email"
        ]

    @pytest.mark.parametrize(
        ("query", "code", "field"),
        [
            ("channel=wbe", "bad_parameter", "channel"),
            ("type=%00", "bad_parameter", "type"),
            ("from=yesterday", "bad_parameter", "from"),
            ("to=2026-11-20T09:30:00+08:00", "bad_parameter", "to"),
            ("from_=2026-11-20T09:30:00Z", "bad_parameter", "from_"),
            ("cursor=abc", "bad_cursor", None),
            ("cursor=", "bad_cursor", None),
            ("cursor=%F0%9F%98%80", "bad_cursor", None),
        ],
    )
    async def test_a_bad_parameter_is_a_400(self, client: Client, query: str, code: str, field: str | None) -> None:
        response = await client.get(f"/v1/customers/{public_id(LI)}/timeline?{query}")
        assert is_problem(response, 400, code)
        assert response.json().get("field") == field

    async def test_a_cursor_of_another_customer_is_refused(self, client: Client) -> None:
        cursor = (await client.get(f"/v1/customers/{public_id(LI)}/timeline?limit=1")).json()["next_cursor"]
        response = await client.get(f"/v1/customers/{public_id(WANG)}/timeline", params={"cursor": cursor})
        assert is_problem(response, 400, "bad_cursor")


class TestChanges:
    async def test_they_are_newest_first_as_published(self, client: Client) -> None:
        items = (await client.get(f"/v1/customers/{public_id(WANG)}/changes")).json()["items"]
        assert [item["sequence"] for item in items] == list(range(len(items), 0, -1))
        first = items[-1]
        assert first["id"] == f"{public_id(WANG)}:1"
        assert (first["aspect"], first["from"], first["cuts"]) == ("tier", None, None)
        assert first["cause"] == {"kind": "interaction", "interaction": "v2", "source": "shop"}
        assert {"to", "at", "recorded_at", "score", "rulebook", "reasons"} <= first.keys()

    async def test_pages_follow_each_other_with_what_was_merged_in(self, client: Client) -> None:
        path = f"/v1/customers/{public_id(LI)}/changes"
        whole = (await client.get(path)).json()["items"]
        assert {item["customer_id"] for item in whole} == {public_id(LI), public_id(LOSER)}
        pages, cursor = [], None
        while True:
            page = (await client.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
            pages += page["items"]
            if (cursor := page["next_cursor"]) is None:
                break
        assert pages == whole


class TestExport:
    async def test_it_has_every_current_view_by_id(self, client: Client) -> None:
        response = await client.get("/v1/export")
        assert response.headers["content-type"] == "application/x-ndjson"
        listed = (await client.get("/v1/customers")).json()["items"]
        assert [httpx.Response(200, content=line).json() for line in response.content.splitlines()] == listed

    async def test_of_nobody_it_is_empty(self, holding: Holding) -> None:
        response = await (await holding()).get("/v1/export")
        assert (response.status_code, response.content) == (200, b"")


class TestKeys:
    @pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer nonsense", "Basic dTpw", "Bearer tw_r_0_0"])
    async def test_without_a_valid_key_it_is_a_401(self, anyone: Client, authorization: str | None) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        response = await anyone.get("/v1/customers", headers=headers)
        assert is_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        ("path", "scope"),
        [
            ("/v1/customers", "profiles:read"),
            (f"/v1/customers/{public_id(LI)}", "profiles:read"),
            ("/v1/customers/by/user_id/u7", "profiles:read"),
            (f"/v1/customers/{public_id(LI)}/changes", "profiles:read"),
            (f"/v1/customers/{public_id(LI)}/timeline", "timeline:read"),
            ("/v1/export", "export"),
        ],
    )
    async def test_a_missing_scope_is_a_403_naming_it(
        self, people: None, holding: Holding, path: str, scope: str
    ) -> None:
        client = await holding(*({"profiles:read", "timeline:read", "export", "pii:read"} - {scope}))
        response = await client.get(path)
        assert is_problem(response, 403, "missing_scope")
        assert response.json()["scope"] == scope
        assert (await (await holding(scope)).get(path)).status_code == 200

    async def test_a_revoked_key_is_refused(self, client: Client, engine: AsyncEngine) -> None:
        key_id = client.headers["Authorization"].split("_")[2]
        async with engine.begin() as connection:
            await revoke_key(connection, key_id)
        assert is_problem(await client.get("/v1/customers"), 401, "unauthorized")


AWKWARD = [
    "", " ", "\x00", "%", "%ff", "\ud7ff", "￿", "😀", "'", '"', "\\", "{}", "[]", "null", "NaN", "-1", "1e309",
    "9" * 40, "c_" + "z" * 13, "c_" + "0" * 13, "A" * 5000, "../../etc/passwd", "1; DROP TABLE customers", "٣", ":",
    "2026-11-20T09:30:00Z", "email", "user_id", "+", "a@b.c", "+86 138", "true", "browsing:high", "web",
]  # fmt: skip
PATHS = [
    "/v1/customers/{}", "/v1/customers/by/{}/{}", "/v1/customers/{}/timeline", "/v1/customers/{}/changes",
    "/v1/customers", f"/v1/customers/{public_id(LI)}/timeline", f"/v1/customers/{public_id(LI)}/changes", "/v1/export",
    "/v1/customers/{}/history", f"/v1/customers/{public_id(LI)}/history", f"/v1/customers/{public_id(LI)}",
    f"/v1/customers/{public_id(LI)}/why", "/v1/changes/{}/why", f"/v1/changes/{public_id(LI)}:{{}}/why", "/v1/audit",
]  # fmt: skip
PARAMETERS = [
    "tier", "intent", "stage", "tag", "limit", "cursor", "channel", "type", "from", "to", "", "fields", "as_of",
    "rulebook", "step", "aspect", "dimension", "access_token", "customer_id", "reader",
]  # fmt: skip


async def test_no_request_is_answered_with_a_500_or_an_undocumented_status(client: Client) -> None:
    chance = random.Random(7)
    documented = {200, 304, 400, 401, 403, 404}
    for _ in range(400):
        path = chance.choice(PATHS).format(*(quote(chance.choice(AWKWARD), safe="") for _ in range(2)))
        query: list[tuple[str, str | int | float | bool | None]] = [
            (chance.choice(PARAMETERS), chance.choice(AWKWARD)) for _ in range(chance.randrange(3))
        ]
        headers = {"If-None-Match": chance.choice(['"', "*", "W/", '"a", , ']), "Accept-Language": ";q=;,zh;q=nan"}
        response = await client.get(path, params=query or None, headers=headers)
        assert response.status_code in documented, (path, query)
        if response.status_code >= 400:
            assert response.headers["content-type"] == "application/problem+json"
