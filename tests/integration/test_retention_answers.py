"""What the profile API says of customers of whom the older interactions are only sums."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import select

from tests.support.product import Product, history, page_view, purchase
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import checkpoints
from tierwise.domain.change import rfc3339
from tierwise_scoring.retention import Retention

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
LONG_AGO = NOW - timedelta(days=200)
LI, WANG = {"user_id": "li"}, {"email": "wang@example.com"}


async def summed_up(product: Product) -> None:
    assert await Retention(product.engine, Rulebooks(), product.vault, 100).enforce() > 0


async def before(product: Product) -> datetime:
    async with product.engine.connect() as connection:
        found: datetime = (await connection.execute(select(checkpoints.c.before))).scalars().one()
    return found


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> httpx.Response:
    return await client.get(path, params=parameters)


async def test_as_of_is_the_same_after_retention_as_before_from_then_on(
    product: Product, client: httpx.AsyncClient
) -> None:
    made = history(random.Random(3), customers=6, interactions=120)
    await product.append(*made)
    await product.score()
    views = (await get(client, "/v1/customers", limit=100)).json()["items"]
    paths = [f"/v1/customers/{view['customer_id']}" for view in views]
    times = [NOW - timedelta(days=days) for days in (90, 40, 0)]
    asked = [(path + part, rfc3339(time)) for path in paths for part in ("", "/why") for time in times]
    answers = [(await get(client, path, as_of=time)).json() for path, time in asked]
    await summed_up(product)
    assert [(await get(client, path, as_of=time)).json() for path, time in asked] == answers
    assert await product.count(checkpoints) > 0


async def test_as_of_a_time_of_which_only_sums_are_kept_says_from_when_on_to_ask(
    product: Product, client: httpx.AsyncClient
) -> None:
    await product.append(purchase(1, "10.00", time=LONG_AGO, identifiers=LI), page_view(2, time=NOW, identifiers=LI))
    await product.score()
    await summed_up(product)
    since = rfc3339(await before(product))
    customer = (await client.get("/v1/customers/by/user_id/li")).json()["customer_id"]
    path = f"/v1/customers/{customer}"
    for refused in (
        await get(client, path, as_of=rfc3339(LONG_AGO)),
        await get(client, f"{path}/why", as_of=rfc3339(LONG_AGO)),
        await get(client, f"{path}/history", **{"from": rfc3339(LONG_AGO)}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (410, "only_sums")
        assert since in refused.json()["detail"]
    found = await get(client, path, as_of=since)
    assert (found.json()["orders"]["amount"], found.json()["first_seen"]) == ("10.00", rfc3339(LONG_AGO))
    assert (await get(client, f"{path}/history", **{"from": since})).is_success


async def test_the_timeline_says_where_it_ends(product: Product, client: httpx.AsyncClient) -> None:
    await product.append(purchase(1, "10.00", time=LONG_AGO, identifiers=LI), page_view(2, time=NOW, identifiers=LI))
    await product.append(page_view(3, time=NOW, identifiers=WANG))
    await product.score()
    await summed_up(product)
    told = {}
    for who in ("user_id/li", "email/wang@example.com"):
        customer = (await client.get(f"/v1/customers/by/{who}")).json()["customer_id"]
        timeline = (await client.get(f"/v1/customers/{customer}/timeline")).json()
        told[who] = len(timeline["items"]), timeline["retained_since"]
    assert told == {"user_id/li": (1, rfc3339(await before(product))), "email/wang@example.com": (1, None)}


async def test_who_splits_or_blocks_is_told_what_stays_whole(product: Product, client: httpx.AsyncClient) -> None:
    await product.append(purchase(1, "10.00", time=LONG_AGO, identifiers=LI | WANG))
    await product.score()
    customer = (await client.get("/v1/customers/by/user_id/li")).json()["customer_id"]
    path, split = f"/v1/customers/{customer}/split", {"identifiers": [{"kind": "user_id", "value": "li"}]}
    assert "kept_whole_before" not in (await client.post(path, json=split)).json()
    await summed_up(product)
    since = rfc3339(await before(product))
    assert (await client.post(path, json=split)).json()["kept_whole_before"] == since
    block = {"kind": "email", "value": "wang@example.com"}
    assert (await client.post("/v1/identifiers/block", json=block)).json()["kept_whole_before"] == since


async def test_a_merged_customer_of_whom_only_sums_are_stored_can_be_split_off(
    product: Product, client: httpx.AsyncClient
) -> None:
    for number, who in enumerate((LI, WANG)):
        await product.append(purchase(number, "10.00", time=LONG_AGO, identifiers=who))
        await product.score()
    loser = (await client.get("/v1/customers/by/email/wang@example.com")).json()["customer_id"]
    await summed_up(product)
    await product.append(page_view(3, time=NOW, identifiers=LI | WANG))
    await product.score()
    winner = (await client.get("/v1/customers/by/email/wang@example.com")).json()["customer_id"]
    assert (await client.post(f"/v1/customers/{winner}/split", json={"merged": loser})).status_code == 202
    await product.score()
    apart = [(await client.get(f"/v1/customers/{one}")).json()["orders"]["amount"] for one in (winner, loser)]
    assert apart == ["10.00", "10.00"]
