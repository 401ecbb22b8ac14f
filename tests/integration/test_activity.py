"""Statistics of what happened, compared with the interactions that are stored."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec

from tests.support.product import NOW, Product, history, page_view, purchase
from tierwise.db.tables import activity_news
from tierwise.domain.interaction import Interaction
from tierwise.domain.retraction import Retraction
from tierwise.domain.retraction import encode as encode_retraction
from tierwise.stream import topics
from tierwise.stream.port import Outgoing
from tierwise_scoring.activity import add_up_news

SHANGHAI = ZoneInfo("Asia/Shanghai")
YEARS = {"from": "2025-01-01", "to": "2026-12-31"}


async def answered(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    response = await client.get(f"/v1/statistics/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def agree(client: httpx.AsyncClient, standing: list[Interaction]) -> None:
    """What is answered is what these come to."""
    local = {one.id: one.time.astimezone(SHANGHAI) for one in standing}
    days = (await answered(client, "activity", **YEARS))["days"]
    counted = {(day["day"], channel): count for day in days for channel, count in day["channels"].items()}
    assert counted == Counter((str(local[one.id].date()), one.channel) for one in standing)
    assert sum(day["interactions"] for day in days) == len(standing)

    bought = [one for one in standing if one.type == "purchase"]
    amount_of = {one.id: Decimal(one.properties["amount"]) for one in bought}
    for period, characters in (("year", 4), ("month", 7), ("day", 10)):
        body = await answered(client, "orders", period=period, **YEARS)
        orders = Counter(str(local[one.id])[:characters] for one in bought)
        assert {one["period"]: one["orders"] for one in body["periods"] if one["orders"]} == orders
        for one in body["periods"]:
            amounts = [amount_of[two.id] for two in bought if str(local[two.id])[:characters] == one["period"]]
            assert Decimal(one["amount"]) == sum(amounts)

    hours = (await answered(client, "hours", **YEARS))["hours"]
    assert [one["interactions"] for one in hours] == [
        sum(moment.hour == hour for moment in local.values()) for hour in range(24)
    ]
    assert sum(one["orders"] for one in hours) == len(bought)


async def test_activity_orders_and_hours_are_those_of_the_interactions_whatever_comes_and_goes(
    product: Product, client: httpx.AsyncClient
) -> None:
    everything = history(random.Random(5), customers=20, interactions=150)
    ours, theirs = everything[:100], [msgspec.structs.replace(one, batch="import") for one in everything[100:]]
    told = page_view(900, type="profile_update", attributes={"region": "CN-31"})
    unscored = page_view(901, scored=False)
    await product.append(*ours, *theirs, *ours[:10], told, unscored)  # some twice
    await product.score(workers=2)
    assert await product.count(activity_news) > 0
    await agree(client, everything)

    await add_up_news(product.engine)
    assert await product.count(activity_news) == 0
    await agree(client, everything)

    taken = Retraction(retracted_batch="import", received_before=NOW + timedelta(hours=1))
    await product.stream.append(
        topics.INTERACTIONS,
        [Outgoing(key=b"", value=encode_retraction(taken), partition=number) for number in range(4)],
    )
    await product.score()
    await agree(client, ours)
    await product.append(*theirs[:5])  # received before it was taken back
    await product.score()
    await add_up_news(product.engine)
    await agree(client, ours)


async def test_other_currencies_count_in_the_base_currency_and_unknown_ones_are_named(
    product: Product, client: httpx.AsyncClient
) -> None:
    def bought(number: int, amount: str, currency: str | None, type_: str = "purchase") -> Interaction:
        return purchase(number, "0", type=type_, properties={"amount": amount, "currency": currency})

    known = [bought(1, "10.00", "CNY"), bought(2, "5.5", None), bought(3, "100", "USD"), bought(4, "3", "XAU")]
    await product.append(*known, bought(5, "2.50", "CNY", "refund"), purchase(6, "1", properties={}))
    await product.score()
    body = await answered(client, "orders", period="week", **{"from": "2026-11-16", "to": "2026-11-22"})
    view = await product.view("user_id", "u1")
    [week] = body["periods"]
    assert (week["period"], week["orders"], week["refunds"], week["refunded"]) == ("2026-W47", 5, 1, "2.50")
    assert week["amount"] == view["orders"]["amount"]
    assert body["unconverted"] == ["XAU"]
    [row] = (await answered(client, "channels", period="month", to="2026-11-30T00:00:00Z"))["channels"]
    assert (row["orders_in_period"], row["sales"], row["sales_growth"]) == (5, week["amount"], None)


async def test_the_funnel_counts_how_far_each_customer_ever_came(product: Product, client: httpx.AsyncClient) -> None:
    soon = datetime.now(UTC) - timedelta(minutes=5)
    for number in range(6):
        who = {"user_id": f"u{number}"}
        await product.append(page_view(number, identifiers=who, time=soon))
        if number >= 4:
            await product.append(purchase(10 + number, "30.00", identifiers=who, time=soon))
    await product.score()
    steps = (await answered(client, "funnel"))["steps"]
    assert [one["stage"] for one in steps] == ["prospect", "interested", "new", "active", "mature", "loyal"]
    by_stage = {one["stage"]: one for one in steps}
    assert (by_stage["prospect"]["customers"], by_stage["new"]["customers"]) == (6, 2)
    assert by_stage["new"]["of_all"] == round(2 / 6, 4)
    assert by_stage["loyal"]["customers"] == 0
    assert by_stage["prospect"]["label"]["zh"] != ""
    # Merged, they are one customer, who came as far as either did.
    await product.append(page_view(30, identifiers={"user_id": "u0", "email": "a@b.co"}, time=soon))
    await product.append(page_view(31, identifiers={"user_id": "u5", "email": "a@b.co"}, time=soon))
    await product.score()
    steps = (await answered(client, "funnel", step=["prospect", "new"]))["steps"]
    assert [one["customers"] for one in steps] == [5, 2]
    none = (await answered(client, "funnel", filter="orders > 5"))["steps"]
    assert (none[0]["customers"], none[0]["of_before"]) == (0, None)
