"""Statistics, compared with what the views of everyone show."""

import asyncio
import csv
import io
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.support.database import TestServer
from tests.support.found import CUSTOMERS, WINNER, View, found, listed
from tests.support.services import until
from tierwise.domain.customer_id import public_id
from tierwise_profile_api import snapshots
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.funnel import way_of
from tierwise_profile_api.kept_statistics import TableAsked, channel_table, funnel, keep_counted
from tierwise_profile_api.snapshots import Snapshots

PERIOD = {"from": "2026-06-01T00:00:00Z", "to": "2026-09-01T08:00:30Z"}


@pytest.fixture(scope="module")
async def client(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with found(postgres, tmp_path_factory.mktemp("statistics")) as client:
        yield client


@pytest.fixture(scope="module")
async def everyone(client: httpx.AsyncClient) -> list[View]:
    return await listed(client, limit="200")


async def answered(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    response = await client.get(f"/v1/statistics/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_a_distribution_counts_the_customers_that_a_filter_leaves(
    client: httpx.AsyncClient, everyone: list[View]
) -> None:
    body = await answered(client, "distribution", by="stage", filter='industry = "finance"')
    finance = [one for one in everyone if one["attributes"]["industry"] == "finance"]
    assert {one["value"]: one["count"] for one in body["values"]} == Counter(
        one["lifecycle"]["stage"] for one in finance
    )
    assert body["count"] == len(finance)


async def test_the_moves_of_a_period_say_who_came_as_what(client: httpx.AsyncClient, everyone: list[View]) -> None:
    body = await answered(client, "moves", aspect="tier")
    now = Counter(one["tier"]["grade"] for one in everyone)
    came = {move["to"]: move["customers"] for move in body["moves"] if move["from"] is None}
    assert sum(came.values()) == CUSTOMERS + 1  # and the one who was merged away
    assert all(came[grade] >= customers for grade, customers in now.items())
    assert (await answered(client, "moves", to="2020-01-01T00:00:00Z"))["moves"] == []


async def test_the_channel_table_adds_up_to_everyone(client: httpx.AsyncClient, everyone: list[View]) -> None:
    rows = (await answered(client, "channels", **PERIOD))["channels"]
    assert sum(row["customers"] for row in rows) == CUSTOMERS
    for row in rows:
        members = [one for one in everyone if one["acquisition"]["first"] == row["channel"]]
        assert row["customers"] == len(members)
        assert row["buyers"] == sum(one["orders"]["count"] > 0 for one in members)
        assert Decimal(row["amount"]) == sum(Decimal(one["orders"]["amount"]) for one in members)
        assert row["new"] == sum("2026-06-01" <= one["first_seen"] < "2026-09-01T08:00:30" for one in members)
        assert row["new_before"] == sum("2026-02-28T15:59:30" <= one["first_seen"] < "2026-06-01" for one in members)
        assert sum(row["tiers"].values()) == pytest.approx(1, abs=0.001)


async def test_the_channel_table_opens_in_a_spreadsheet_in_the_readers_language(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/statistics/channels?format=csv", headers={"Accept-Language": "zh-CN"})
    assert response.content.startswith("\ufeff渠道,客户数".encode())
    heading, *rows = csv.reader(io.StringIO(response.content.decode("utf-8-sig")))
    assert {row[0] for row in rows} >= {"搜索引擎", "社交媒体"}
    assert all(len(row) == len(heading) for row in rows)


async def test_the_channel_table_is_a_workbook_with_numbers_as_numbers(
    client: httpx.AsyncClient, everyone: list[View]
) -> None:
    response = await client.get("/v1/statistics/channels?format=xlsx", headers={"Accept-Language": "zh-CN"})
    assert response.headers["content-disposition"] == 'attachment; filename="channels.xlsx"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as book:
        shared = [one.text for one in parse(book.read("xl/sharedStrings.xml")).iter(f"{_MAIN}t")]
        [name] = [one.get("name") for one in parse(book.read("xl/workbook.xml")).iter(f"{_MAIN}sheet")]
        cells = parse(book.read("xl/worksheets/sheet1.xml")).iter(f"{_MAIN}c")
        values = {one.get("r"): (one.get("t"), one.findtext(f"{_MAIN}v")) for one in cells}
    assert name == "客户管理渠道归类表"
    assert shared[:3] == ["渠道", "客户数", "成交客户数"]
    column = [values[f"B{row}"] for row in range(2, 10) if f"B{row}" in values]
    assert sum(float(value or 0) for type_, value in column if type_ is None) == len(everyone)


async def test_sales_are_compared_with_as_much_of_the_month_before(
    client: httpx.AsyncClient, everyone: list[View]
) -> None:
    body = await answered(client, "channels", period="month", to="2026-11-15T04:00:00Z")
    assert (body["from"], body["to"]) == ("2026-10-31T16:00:00Z", "2026-11-15T04:00:00Z")  # midnight in Shanghai
    assert body["before"] == {"from": "2026-09-30T16:00:00Z", "to": "2026-10-15T04:00:00Z"}
    [winner] = [one for one in everyone if one["customer_id"] == public_id(WINNER)]  # only their views are not added up
    region = ({"CN-31", "CN-11"} - {winner["attributes"].get("region")}).pop()
    year = await answered(client, "channels", period="year", to="2026-12-31T00:00:00Z", region=region)
    assert sum(Decimal(row["sales"]) for row in year["channels"]) == sum(
        Decimal(one["orders"]["amount"]) for one in everyone if one["attributes"].get("region") == region
    )


async def test_what_pages_show_first_is_counted_before_anybody_asks(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "QUICK_S", 0.0)
    monkeypatch.setattr(snapshots, "TIMES", 1_000_000)
    assert isinstance(client._transport, httpx.ASGITransport)
    source: Backend = client._transport.app.state.opening.value  # type: ignore[attr-defined]
    kept, rulebook, everyone = Snapshots(), await source.rulebook_in_force(), Filters("true", [])
    counting = asyncio.create_task(keep_counted(source.reads, kept, source.rulebook_in_force))

    async def all_counted() -> bool:
        return len(kept) == 4

    await until(all_counted, within_s=20)
    counting.cancel()
    asked = datetime.now(UTC)
    for table in (TableAsked(), TableAsked(period="month"), TableAsked(period="quarter")):
        assert (await channel_table(source.reads, kept, rulebook, everyone, table)).at < asked
    assert (await funnel(source.reads, kept, rulebook, everyone, way_of((), rulebook))).at < asked


_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def parse(text: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(text)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("distribution", "by"),
        ("distribution?by=password", "by"),
        ("distribution?by=tag:nothing", "by"),
        ("moves?aspect=owner", "aspect"),
        ("moves?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("moves?to=0001-01-01T00:00:00Z", "from"),
        ("channels?from=0001-01-01T00:00:00Z&to=0009-01-01T00:00:00Z", "from"),
        ("channels?format=pdf", "format"),
        ("channels?touch=middle", "touch"),
        ("channels?period=month&from=2026-01-01T00:00:00Z", "from"),
        ("channels?period=year&to=0001-01-01T00:00:00Z", "to"),
        ("activity?from=2026-11-20T00:00:00Z", "from"),
        ("activity?from=2026-11-20&to=2026-11-19", "from"),
        ("activity?channel=fax", "channel"),
        ("orders?period=decade", "period"),
        ("orders?to=1969-12-31", "to"),
        ("hours?to=20261120x", "to"),
        ("funnel?step=nowhere", "step"),
    ],
)
async def test_a_bad_parameter_is_a_400_naming_it(client: httpx.AsyncClient, path: str, field: str) -> None:
    response = await client.get(f"/v1/statistics/{path}")
    assert (response.status_code, response.json()["field"]) == (400, field)
