"""Finding and counting customers, compared with what their views show."""

import asyncio
import csv
import io
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.database import TestServer
from tests.support.found import CUSTOMERS, MERGED, WINNER, View, found, listed
from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise_profile_api import exporting, finding
from tierwise_profile_api.filters import Asked


@pytest.fixture(scope="module")
async def client(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with found(postgres, tmp_path_factory.mktemp("find")) as client:
        yield client


@pytest.fixture(scope="module")
async def everyone(client: httpx.AsyncClient) -> list[View]:
    return await listed(client, limit="200")


def ids(views: list[View]) -> list[str]:
    return [one["customer_id"] for one in views]


def has_tag(view: View, name: str, value: str) -> bool:
    return any((tag["name"], tag["value"]) == (name, value) for tag in view["tags"])


NARROWED: list[tuple[dict[str, Any], Callable[[View], bool]]] = [
    ({"tier": ["A", "B", "C"]}, lambda one: one["tier"]["grade"] in "ABC"),
    ({"region": ["CN-31", "CN-11"]}, lambda one: one["attributes"].get("region") in ("CN-31", "CN-11")),
    ({"industry": "finance", "owner": "Wang_1"}, lambda one: one["attributes"]["industry"] == "finance"
     and one["owner"] == "Wang_1"),
    ({"source": "social"}, lambda one: "social" in one["acquisition"].values()),
    ({"preferred_channel": "order"}, lambda one: one["preferred_channel"] == "order"),
    ({"interest": "books"}, lambda one: "books" in one["interests"]),
    ({"intent_from": "10", "intent_to": "40.5"}, lambda one: 10 <= one["intent"]["score"] <= 40.5),
    ({"tier_from": "30"}, lambda one: one["tier"]["score"] >= 30),
    ({"seen_from": "2026-11-10T00:00:00Z"}, lambda one: one["last_seen"] >= "2026-11-10"),
    ({"seen_to": "2026-11-10T00:00:00Z", "stage": ["new", "prospect"]}, lambda one: one["last_seen"] < "2026-11-10"
     and one["lifecycle"]["stage"] in ("new", "prospect")),
    ({"filter": 'region != "cn-31"'}, lambda one: one["attributes"].get("region") in ("CN-11", "CN-44")),
    ({"filter": 'not region = "CN-31"'}, lambda one: one["attributes"].get("region") != "CN-31"),
    ({"filter": 'owner like "wang_*" or orders >= 2'}, lambda one: one["owner"] == "Wang_1"
     or one["orders"]["count"] >= 2),
    ({"filter": "intent between 5 and 30 and not (amount < 1000)"}, lambda one: 5 <= one["intent"]["score"] <= 30
     and float(one["orders"]["amount"]) >= 1000),
    ({"filter": 'interest in ("Books", "nothing") and tier.score > -1'}, lambda one: "books" in one["interests"]),
    ({"filter": 'history = "first" or transaction.history = "repeat"'}, lambda one: has_tag(one, "history", "first")
     or has_tag(one, "history", "repeat")),
    ({"filter": 'acquisition.first = "search" and orders in (0, 1) and true'},
     lambda one: one["acquisition"]["first"] == "search" and one["orders"]["count"] < 2),
    ({"filter": "days_since_seen <= 36500d", "q": "U7@Example.com "}, lambda one: one["customer_id"] == public_id(7)),
    ({"q": public_id(9)}, lambda one: one["customer_id"] == public_id(9)),
    ({"q": public_id(MERGED)}, lambda one: one["customer_id"] == public_id(WINNER)),
    ({"q": "MING1 王小明"}, lambda one: one["attributes"].get("name") == "王小明 Ming1"),
    ({"q": "王小", "tier": ["A", "B", "C", "D", "E"]}, lambda one: False),
    ({"q": "nobody"}, lambda one: False),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "fits"), NARROWED, ids=[str(parameters) for parameters, _ in NARROWED])
async def test_a_list_and_a_count_have_those_whose_view_fits(
    client: httpx.AsyncClient, everyone: list[View], parameters: dict[str, Any], fits: Callable[[View], bool]
) -> None:
    wanted = ids([one for one in everyone if fits(one)])
    assert ids(await listed(client, **parameters, limit="200")) == wanted
    counted = (await client.get("/v1/customers/count", params=parameters)).json()
    assert counted["count"] == len(wanted)
    assert 0 < len(wanted) < CUSTOMERS or "q" in parameters


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("intent.score", lambda one: one["intent"]["score"]),
        ("last_seen", lambda one: one["last_seen"]),
        ("customer_id", lambda one: 0),
    ],
)
async def test_pages_of_a_sorted_list_have_everyone_once_and_in_order(
    client: httpx.AsyncClient, everyone: list[View], sort: str, value: Callable[[View], Any]
) -> None:
    up = await listed(client, sort=sort, limit="7")
    assert ids(up) == ids(sorted(everyone, key=value))
    assert ids(await listed(client, sort=f"-{sort}", limit="7")) == ids(up)[::-1]


@pytest.mark.parametrize("sort", ["customer_id", "-customer_id"])
async def test_a_list_by_id_has_those_who_fit_however_far_away_they_are(
    client: httpx.AsyncClient, everyone: list[View], sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ids([one for one in everyone if one["owner"] == "Wang_1"])
    monkeypatch.setattr(finding, "NEAR", 3)
    found = ids(await listed(client, owner="Wang_1", sort=sort, limit="2"))
    assert found == (wanted if sort == "customer_id" else wanted[::-1])


@pytest.mark.parametrize(
    ("by", "values"),
    [
        ("tier", lambda one: [one["tier"]["grade"]]),
        ("region", lambda one: [one["attributes"].get("region")]),
        ("interest", lambda one: one["interests"] or [None]),
        ("tag:history", lambda one: [tag["value"] for tag in one["tags"] if tag["name"] == "history"] or [None]),
    ],
)
async def test_a_count_by_a_facet_has_each_value_once(
    client: httpx.AsyncClient, everyone: list[View], by: str, values: Callable[[View], list[str | None]]
) -> None:
    counted = (await client.get("/v1/customers/count", params={"by": by})).json()
    assert counted["count"] == CUSTOMERS
    expected = Counter(value for one in everyone for value in values(one))
    assert {one["value"]: one["count"] for one in counted["values"]} == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=region", "sort"),
        ("intent_from=101", "intent_from"),
        ("intent_from=nan", "intent_from"),
        ("seen_from=today", "seen_from"),
        ("region=%00", "region"),
        ("filter=%00", "filter"),
        ("filter=tier%20%3D", "filter"),
        ("filter=" + "(" * 60, "filter"),
        ("filter=' OR 1=1 --", "filter"),
        ("preferred_channel=fax", "preferred_channel"),
        ("q=" + "x" * 257, "q"),
    ],
)
async def test_a_bad_parameter_is_a_400_naming_it(client: httpx.AsyncClient, query: str, field: str) -> None:
    response = await client.get(f"/v1/customers?{query}")
    assert (response.status_code, response.json()["field"]) == (400, field)


async def exported(client: httpx.AsyncClient, **parameters: str) -> str:
    response = await client.get("/v1/export", params=parameters)
    assert response.status_code == 200, response.text
    return response.text


async def test_an_export_has_the_views_of_a_filtered_list_and_goes_on_where_it_was_cut(
    client: httpx.AsyncClient,
) -> None:
    wanted = await listed(client, industry="finance")
    lines = (await exported(client, industry="finance")).splitlines()
    assert [json.loads(line) for line in lines] == wanted
    rest = (await exported(client, industry="finance", after=wanted[4]["customer_id"])).splitlines()
    assert rest == lines[5:]
    assert await exported(client, filter="false") == ""


async def test_a_flat_export_says_of_everyone_what_their_views_say(
    client: httpx.AsyncClient, everyone: list[View]
) -> None:
    rows = list(csv.DictReader(io.StringIO((await exported(client, format="csv")).removeprefix("\ufeff"))))
    for row, one in zip(rows, everyone, strict=True):
        assert row["customer_id"] == one["customer_id"]
        assert (row["tier"], float(row["intent_score"])) == (one["tier"]["grade"], one["intent"]["score"])
        assert (row["orders"], row["amount"]) == (str(one["orders"]["count"]), one["orders"]["amount"])
        assert (row["last_seen"], row["region"]) == (one["last_seen"], one["attributes"].get("region", ""))


async def test_a_flat_export_of_many_pages_has_everyone_once_and_goes_on_where_it_was_cut(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (await exported(client, shape="flat")).splitlines()
    monkeypatch.setattr(exporting, "FLAT_PAGE", 7)
    assert (await exported(client, shape="flat")).splitlines() == lines
    cut = json.loads(lines[20])["customer_id"]
    assert (await exported(client, shape="flat", after=cut)).splitlines() == lines[21:]


async def test_a_flat_export_for_people_says_in_their_words_what_labels_say(
    client: httpx.AsyncClient, everyone: list[View]
) -> None:
    text = (await exported(client, format="csv", labels="zh")).removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text)))
    zh = await listed(client, headers={"Accept-Language": "zh"}, limit="200")
    for row, one in zip(rows, zh, strict=True):
        assert row["客户编号"] == one["customer_id"]
        labels = one["labels"]
        assert (row["客户等级"], row["意向等级"]) == (labels["tier"], labels["intent"])
        assert row["生命周期阶段"] == labels["lifecycle"]
        assert sorted(row["标签"].split("|")) == sorted(tag["label"]["zh"] for tag in one["tags"])
        assert row["行业"] in ("教育", "金融")
        assert row["首次来源"] in ("搜索引擎", "社交媒体")
    [line, *_] = (await exported(client, shape="flat", labels="en")).splitlines()
    assert json.loads(line)["industry"] in ("Education", "Finance")


async def test_labels_as_a_parameter_are_for_flat_rows(client: httpx.AsyncClient) -> None:
    for asked in ({"labels": "zh"}, {"labels": "de", "format": "csv"}):
        response = await client.get("/v1/export", params=asked)
        assert (response.status_code, response.json()["field"]) == (400, "labels")


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_lists_and_exports_of_views_have_labels_as_the_view_of_one_has(
    client: httpx.AsyncClient, language: str
) -> None:
    wanted = {"Accept-Language": language}
    first, *_ = await listed(client, headers=wanted, limit="200")
    alone = (await client.get(f"/v1/customers/{first['customer_id']}", headers=wanted)).json()
    assert first == alone
    assert first["labels"]["language"] == language
    line, *_ = (await client.get("/v1/export", headers=wanted)).text.splitlines()
    assert json.loads(line) == alone


async def test_every_flat_form_says_the_same(client: httpx.AsyncClient) -> None:
    rows = list(csv.DictReader(io.StringIO((await exported(client, format="csv")).removeprefix("\ufeff"))))
    lines = [json.loads(line) for line in (await exported(client, shape="flat")).splitlines()]
    assert [{name: "" if value is None else str(value) for name, value in line.items()} for line in lines] == rows

    response = await client.get("/v1/export?format=parquet")
    table = pq.read_table(io.BytesIO(response.content))
    assert table.schema.field("first_seen").type == pa.timestamp("us", tz="UTC")
    for line, row in zip(lines, table.to_pylist(), strict=True):
        row |= {name: rfc3339(row[name]) for name in ("first_seen", "last_seen")}
        assert row | {"amount": str(row["amount"])} == line
    none = pq.read_table(io.BytesIO((await client.get("/v1/export?format=parquet&filter=false")).content))
    assert (none.num_rows, none.schema.names) == (0, table.schema.names)


async def test_an_export_of_the_past_has_everyone_who_had_been_seen_as_they_stood(
    client: httpx.AsyncClient, everyone: list[View]
) -> None:
    moment = "2026-06-15T00:00:00Z"
    response = await client.get("/v1/export", params={"as_of": moment, "rulebook": "current"})
    assert response.headers["tierwise-customers"] == str(CUSTOMERS)
    lines = [json.loads(line) for line in response.text.splitlines()]
    seen = [one["customer_id"] for one in everyone if one["first_seen"] <= moment]
    assert [line["customer_id"] for line in lines] == seen
    alone = await client.get(f"/v1/customers/{seen[3]}", params={"as_of": moment, "rulebook": "current"})
    assert lines[3] == alone.json()
    rest = await client.get("/v1/export", params={"as_of": moment, "rulebook": "current", "after": seen[3]})
    assert [json.loads(line) for line in rest.text.splitlines()] == lines[4:]
    refused = await client.get("/v1/export", params={"as_of": moment, "format": "csv"})
    assert (refused.status_code, refused.json()["field"]) == (400, "as_of")


async def test_only_one_export_of_the_past_runs_at_a_time(client: httpx.AsyncClient) -> None:
    asked = {"as_of": "2026-10-15T00:00:00Z"}
    both = await asyncio.gather(*(client.get("/v1/export", params=asked) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [200, 409]
    assert (await client.get("/v1/export", params=asked)).status_code == 200


async def test_an_export_after_nobody_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/export?after=c_nobody")
    assert (response.status_code, response.json()["field"]) == (400, "after")


async def test_a_cursor_of_another_order_or_filter_is_refused(client: httpx.AsyncClient) -> None:
    cursor = (await client.get("/v1/customers?limit=1&sort=last_seen")).json()["next_cursor"]
    for other in ({}, {"sort": "-last_seen"}, {"sort": "last_seen", "region": "CN-31"}):
        response = await client.get("/v1/customers", params={**other, "cursor": cursor})
        assert (response.status_code, response.json()["code"]) == (400, "bad_cursor")


AWKWARD = [
    "", "\x00", "%", "\ud7ff", "\uffff", "😀", "'", '"', "\\", "NaN", "-1", "1e309", "9" * 40, "A" * 5_000, "٣",
    "1; DROP TABLE customers", "tag:", "tag:%", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "c_" + "z" * 13, "true",
]  # fmt: skip
PATHS = [
    "customers",
    "customers/count",
    "statistics/distribution",
    "statistics/moves",
    "statistics/channels",
    "export",
    "statistics/activity",
    "statistics/orders",
    "statistics/hours",
    "statistics/funnel",
    "segments",
]


NAMES = [
    *(field.name for field in fields(Asked)), "by", "sort", "cursor", "limit", "fields", "aspect", "touch", "format",
    "from", "to", "after", "shape", "as_of", "rulebook", "period", "channel", "step",
    "labels",
]  # fmt: skip


async def test_no_awkward_request_is_answered_otherwise_than_with_200_or_400(client: httpx.AsyncClient) -> None:
    chance = random.Random(7)
    for _ in range(400):
        path = f"/v1/{chance.choice(PATHS)}"
        asked = {chance.choice(NAMES): chance.choice(AWKWARD) for _ in range(chance.randint(1, 2))}
        if path.endswith("distribution"):
            asked = {"by": "tier", **asked}
        response = await client.get(path, params=asked)
        assert response.status_code in (200, 400), (path, asked)
        if response.status_code == 400:
            assert response.headers["content-type"] == "application/problem+json"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    expression=st.lists(
        st.sampled_from(
            ["tier", "intent", "region", "stage", "interest", "orders", "=", "!=", "<", "like", "in", "(", ")", "not",
             "and", "or", "between", "3", "1e9", '"A"', '"x*"', "30d", "-", "days_since_seen", "browsing", "999999999"]
        ),
        max_size=12,
    ).map(" ".join)
)  # fmt: skip
async def test_whatever_an_expression_says_it_is_answered_or_refused(
    client: httpx.AsyncClient, expression: str
) -> None:
    response = await client.get("/v1/customers/count", params={"filter": expression})
    assert response.status_code in (200, 400), response.text
