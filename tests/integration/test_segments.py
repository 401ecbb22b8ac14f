"""Saved segments: whom they hold, and what is published of who comes and goes."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from tests.support.product import NOW, Product, history, page_view, purchase
from tests.support.releases import OTHER_TAGS, publish, rulebook
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import changes, customers, segment_members, segments
from tierwise.domain.customer_id import public_id
from tierwise.domain.interaction import Interaction
from tierwise.domain.retraction import Retraction
from tierwise.domain.retraction import encode as encode_retraction
from tierwise.publishing.schemas import SCHEMAS
from tierwise.stream import topics
from tierwise.stream.port import Outgoing
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.rebuild import Rebuild
from tierwise_scoring.releaser import Releaser
from tierwise_scoring.segment_pass import SegmentPasses

BUYERS = {"name": "buyers", "filter": "orders >= 1", "labels": {"zh": "买家"}}


async def saved(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/segments", json=body)
    assert response.status_code == 201, response.text
    return dict(response.json())


async def fitting(client: httpx.AsyncClient, name: str) -> set[str]:
    items = (await client.get("/v1/customers", params={"segment": name, "limit": 200})).json()["items"]
    return {one["customer_id"] for one in items}


async def members(product: Product, name: str) -> set[str]:
    """As they are kept."""
    query = select(segment_members.c.customer_id).join(segments, segments.c.id == segment_members.c.segment_id)
    async with product.engine.connect() as connection:
        return {public_id(row[0]) for row in await connection.execute(query.where(segments.c.name == name))}


async def told(product: Product, name: str) -> set[str]:
    """Who is in it by what was published, which never says what is so already."""
    query = select(changes.c.customer_id, changes.c["from"], changes.c.to).where(changes.c.aspect == f"segment:{name}")
    found: set[str] = set()
    async with product.engine.connect() as connection:
        for number, was, is_ in await connection.execute(query.order_by(changes.c.id)):
            who = public_id(number)
            assert (was, is_) == (("member", None) if who in found else (None, "member"))
            found ^= {who}
    return found


async def gapless(product: Product) -> None:
    async with product.engine.connect() as connection:
        last = {row[0]: row[1] for row in await connection.execute(select(customers.c.id, customers.c.sequence))}
        rows = await connection.execute(
            select(changes.c.customer_id, changes.c.sequence).order_by(changes.c.customer_id, changes.c.sequence)
        )
        of: dict[int, list[int]] = {}
        for customer, sequence in rows:
            of.setdefault(customer, []).append(sequence)
    for customer, sequences in of.items():
        assert sequences == list(range(1, len(sequences) + 1))
        assert last.get(customer, sequences[-1]) == sequences[-1]


async def test_members_are_those_whom_the_filter_fits_however_customers_come_merge_and_go(
    product: Product, client: httpx.AsyncClient
) -> None:
    everything = history(random.Random(11), customers=25, interactions=200)
    everything = [
        msgspec.structs.replace(one, batch="import") if number % 4 == 0 else one
        for number, one in enumerate(everything)
    ]
    passes = SegmentPasses(product.engine, Rulebooks())
    await saved(client, BUYERS)
    await product.append(*everything[:80])
    await product.score(workers=2)
    assert await members(product, "buyers") == await fitting(client, "buyers") != set()
    await saved(client, {"name": "south", "filter": 'region = "CN-31" or tier in ("A", "B")'})
    await passes.pass_due()
    await product.append(*everything[80:])
    await product.score(workers=2)
    taken = Retraction(retracted_batch="import", received_before=NOW + timedelta(hours=1))
    await product.stream.append(
        topics.INTERACTIONS,
        [Outgoing(key=b"", value=encode_retraction(taken), partition=number) for number in range(4)],
    )
    await product.score(workers=2)
    for name in ("buyers", "south"):
        there = await fitting(client, name)
        assert await members(product, name) == there
        merged = await told(product, name) - there  # who was merged leaves with the merge
        for who in merged:
            assert (await client.get(f"/v1/customers/{who}")).json()["merged_into"]
        assert there - await told(product, name) == set()
    await gapless(product)
    assert (await Rebuild(product.engine, product.vault, repair=False).everyone()).different == 0


async def test_a_new_segment_and_another_filter_are_told_of_everyone_whom_they_move(
    product: Product, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierwise_scoring.segment_pass._PAGE", 2)
    for number in range(7):
        who = {"user_id": f"u{number}"}
        await product.append(page_view(number, identifiers=who))
        if number % 2:
            await product.append(purchase(10 + number, "30.00", identifiers=who))
    await product.score()
    made = await saved(client, BUYERS)
    assert (made["state"], made["labels"]) == ("filling", {"en": "buyers", "zh": "买家"})
    passes = SegmentPasses(product.engine, Rulebooks())
    assert await passes.pass_due() == 3
    shown = (await client.get("/v1/segments/buyers")).json()
    assert (shown["state"], shown["customers"], shown["problem"]) == ("ready", 3, None)
    assert await told(product, "buyers") == await fitting(client, "buyers")
    await product.relay()
    [(headers, event), *_] = await product.published(topics.SEGMENT_CHANGES)
    assert headers["ce_type"] == "tierwise.customer.segment-changed.v1"
    assert (event["aspect"], event["from"], event["to"], event["cause"]) == (
        "segment:buyers", None, "member", {"kind": "segment"},
    )  # fmt: skip
    jsonschema_rs.validate(dict(SCHEMAS[headers["ce_type"]]), event)

    again = await client.put("/v1/segments/buyers", json={"filter": "orders = 0", "quiet": True})
    assert again.json()["state"] == "filling"
    assert await passes.pass_due() == 7
    assert await told(product, "buyers") == await fitting(client, "buyers")
    await product.relay()
    assert len(await product.published(topics.SEGMENT_CHANGES)) == 3  # the second time quietly
    listed = (await client.get(f"/v1/customers/{event['customer_id']}/changes?aspect=segment:buyers")).json()["items"]
    assert [one["to"] for one in listed] == [None, "member"]
    assert (await client.get(f"/v1/changes/{listed[0]['id']}/why")).status_code == 404
    await gapless(product)


async def test_whoever_is_written_while_a_segment_is_made_is_not_missed(
    product: Product, client: httpx.AsyncClient
) -> None:
    who = {"user_id": "u1"}
    await product.append(page_view(1, identifiers=who))
    await product.score()
    passes = SegmentPasses(product.engine, Rulebooks())
    async with product.engine.begin() as older:  # a transaction that knows nothing of the segment
        await older.execute(select(segments).with_for_update(key_share=True))
        await older.execute(customers.update().values(version=customers.c.version))
        await saved(client, BUYERS)
        assert await passes.pass_due() == 0
        assert (await client.get("/v1/segments/buyers")).json()["state"] == "filling"
        facets = "UPDATE customer_facets SET orders = 1"
        await older.exec_driver_sql(facets)
    assert await passes.pass_due() == 1
    assert await members(product, "buyers") == await fitting(client, "buyers") != set()


async def test_a_pass_that_died_goes_on_where_it_was(
    product: Product, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierwise_scoring.segment_pass._PAGE", 1)
    await product.append(*(purchase(n, "5.00", identifiers={"user_id": f"u{n}"}) for n in range(12)))
    await product.score()
    await saved(client, BUYERS)
    dying = asyncio.create_task(SegmentPasses(product.engine, Rulebooks()).pass_due())
    while await product.count(segment_members) < 3:  # noqa: ASYNC110  (in the database)
        await asyncio.sleep(0.001)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    done = await product.count(segment_members)
    both = [SegmentPasses(product.engine, Rulebooks()).pass_due() for _ in range(2)]
    assert sum(await asyncio.gather(*both)) + done >= 12
    assert len(await told(product, "buyers")) == 12


async def test_time_alone_moves_members_of_a_segment_that_asks_how_long_ago(
    product: Product, client: httpx.AsyncClient
) -> None:
    today = datetime.now(UTC)
    seen = [today - timedelta(days=days) for days in (1, 29, 30, 200)]
    await product.append(*(page_view(n, identifiers={"user_id": f"u{n}"}, time=time) for n, time in enumerate(seen)))
    await product.score()
    await saved(client, {"name": "lately", "filter": "days_since_seen <= 30d"})
    await saved(client, BUYERS)
    passes = SegmentPasses(product.engine, Rulebooks())
    assert await passes.pass_due() == 3
    assert await passes.pass_due() == 0
    async with product.engine.begin() as connection:  # yesterday's pass, when the third was still there
        await connection.exec_driver_sql("UPDATE segments SET passed_on = passed_on - 1")
        await connection.exec_driver_sql("UPDATE customer_facets SET last_seen = last_seen - interval '1 day'")
    assert await passes.pass_due() == 1
    query = select(changes.c.cause, changes.c.to).where(changes.c.aspect == "segment:lately")
    async with product.engine.connect() as connection:
        rows = (await connection.execute(query.order_by(changes.c.id.desc()).limit(1))).all()
    assert [tuple(row) for row in rows] == [("time", None)]


async def test_members_are_right_again_when_a_rulebook_has_words_for_a_filter_that_one_had_not(
    product: Product, client: httpx.AsyncClient
) -> None:
    def looks(who: str, first: int) -> list[Interaction]:
        return [page_view(first + n, identifiers={"user_id": who}, time=datetime.now(UTC)) for n in range(20)]

    passes = SegmentPasses(product.engine, Rulebooks())
    await product.append(*looks("u1", 0))
    await product.score()
    await saved(client, {"name": "browsers", "filter": 'browsing = "high"'})
    assert await passes.pass_due() == 1
    releaser = Releaser(product.engine, product.vault, Rulebooks(), ScoringMetrics(CollectorRegistry()))
    await publish(product.engine, OTHER_TAGS)
    await releaser.release()
    await product.append(*looks("u2", 100))
    await product.score()  # who is written meanwhile is not looked at
    shown = (await client.get("/v1/segments/browsers")).json()
    assert (shown["state"], "browsing" in shown["problem"], shown["customers"]) == ("ready", True, None)
    assert len(await members(product, "browsers")) == 1

    await publish(product.engine, rulebook("again"))
    await releaser.release()
    assert await members(product, "browsers") == await told(product, "browsers") == await fitting(client, "browsers")
    assert len(await members(product, "browsers")) == 2


async def test_segments_are_listed_deleted_and_named_once(product: Product, client: httpx.AsyncClient) -> None:
    await product.append(purchase(1, "5.00"))
    await product.score()
    await saved(client, BUYERS)
    await SegmentPasses(product.engine, Rulebooks()).pass_due()
    assert (await client.post("/v1/segments", json=BUYERS)).status_code == 409
    assert [one["name"] for one in (await client.get("/v1/segments")).json()["items"]] == ["buyers"]
    for path in ("/v1/customers/count?by=tier", "/v1/statistics/distribution?by=tier"):
        assert (await client.get(f"{path}&segment=buyers")).json()["count"] == 1
    assert (await client.get("/v1/export?segment=buyers&format=csv")).text.count("\n") == 2
    assert (await client.delete("/v1/segments/buyers")).status_code == 204
    assert (await client.delete("/v1/segments/buyers")).status_code == 404
    assert await product.count(segment_members) == 0
    refused = await client.get("/v1/customers?segment=buyers")
    assert (refused.status_code, refused.json()["field"]) == (400, "segment")
    for body, field in (
        ({**BUYERS, "name": "Käufer"}, "name"),
        ({**BUYERS, "filter": "count(purchase) > 1"}, "filter"),
        ({**BUYERS, "filter": "true\0"}, "filter"),
        ({**BUYERS, "labels": {"fr": "x"}}, "labels"),
        ({**BUYERS, "labels": {"en": ""}}, "labels.en"),
        ({"filter": "true"}, None),
    ):
        refused = await client.post("/v1/segments", json=body)
        assert (refused.status_code, refused.json().get("field")) == (400, field), refused.text
    missing = await client.put("/v1/segments/nobody", json={"filter": "true"})
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_segment")
