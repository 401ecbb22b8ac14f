"""The CloudEvents SDK for Python, unmodified, against the running product, in every mode of the HTTP binding."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.support.documented import examples, pasted
from tests.support.served import Served

WHEN = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


def event(number: int, user: str, **attributes: Any) -> CloudEvent:
    given = {"id": str(number), "source": "/shop", "type": "com.example.order.purchase"} | attributes
    data = {"user_id": user, "amount": "10.50", "currency": "CNY"}
    return CloudEvent(given | {"time": WHEN + timedelta(minutes=number), "datacontenttype": "application/json"}, data)


def batch(*events: CloudEvent) -> HTTPMessage:
    """The SDK has no batches: an array of what it makes of each."""
    bodies = [json.loads(to_structured_event(one).body) for one in events]
    return HTTPMessage({"content-type": "application/cloudevents-batch+json"}, json.dumps(bodies).encode())


async def posted(product: Served, key: str, message: HTTPMessage) -> httpx.Response:
    headers = {**message.headers, "Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=product.ingest.url) as client:
        return await client.post("/v1/cloudevents", content=message.body, headers=headers)


async def test_every_mode_is_on_the_timeline_and_a_repeat_in_another_counts_once(product: Served) -> None:
    user = "cloudevents-1"
    key = await product.source(user)
    first = event(1, user, subject="Euro € 100%", comexamplestore="west")
    others = [event(number, user) for number in (2, 3, 4)]
    messages = [
        to_binary_event(first),
        to_structured_event(others[0]),
        batch(*others[1:]),
        batch(first, *others),
    ]
    for message, accepted in zip(messages, (1, 1, 2, 4), strict=True):
        response = await posted(product, key, message)
        assert (response.status_code, response.json()["accepted"]) == (202, accepted), response.text
    timeline = await product.timeline("user_id", user, of=4)
    assert [one["id"] for one in timeline] == [f"/shop {number}" for number in range(1, 5)]
    assert [datetime.fromisoformat(one["time"]) for one in timeline] == [
        WHEN + timedelta(minutes=number) for number in range(1, 5)
    ]
    assert timeline[0]["properties"]["subject"] == "Euro € 100%"
    assert timeline[0]["properties"]["comexamplestore"] == "west"
    view = await product.view("user_id", user)
    assert (view["interactions"], view["orders"]["amount"]) == (4, "42.00")


@pytest.mark.parametrize("encode", [to_binary_event, to_structured_event])
async def test_what_is_wrong_is_answered_with_400_and_its_name(product: Served, encode: Any) -> None:
    key = await product.source(f"cloudevents-{encode.__name__}")
    wrong = CloudEvent({"id": "1", "source": "/shop", "type": "com.example.order.purchase"}, {"amount": "1.00"})
    response = await posted(product, key, encode(wrong))
    assert response.status_code == 400
    assert response.json()["results"][0]["code"] == "missing_identifier"


async def test_what_the_documentation_says_to_paste_works(product: Served) -> None:
    key = await product.source("cloudevents-docs")
    blocks = examples("CloudEvents", key=key, ingest=product.ingest.url)
    assert len(blocks) == 2
    for language, text in blocks:
        await pasted(language, text)
    assert len(await product.timeline("user_id", "cloudevents-u7", of=2)) == 2
