"""Webhooks on a real PostgreSQL to real endpoints: what is sent, signed, tried again and given up."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from tests.support.deliveries import Answer, Endpoint, Received, Webhooks, endpoint, webhooks
from tests.support.live import record
from tierwise.domain.customer_id import public_id
from tierwise.security.personal import Vault
from tierwise.webhooks.log import add_replay, add_test
from tierwise.webhooks.registry import delete_subscription, rotate_secret
from tierwise_scoring.webhooks import queue
from tierwise_scoring.webhooks.courier import Courier
from tierwise_scoring.webhooks.schedule import RETRIES


@pytest.fixture
async def receiver() -> AsyncIterator[Endpoint]:
    async with endpoint() as one:
        yield one


@pytest.fixture
async def hooks(engine: AsyncEngine, vault: Vault) -> AsyncIterator[Webhooks]:
    async with webhooks(engine, vault) as hooks:
        yield hooks


async def happened(hooks: Webhooks, customer: int, sequence: int, aspect: str = "tier", **given: Any) -> str:
    """A change; the id of its event."""
    async with hooks.engine.begin() as connection:
        await record(connection, customer, sequence, aspect, **given)
    return f"{public_id(customer)}:{sequence}"


async def test_a_change_is_sent_as_a_signed_event(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, secret = await hooks.subscribe(receiver.url)
    event_id = await happened(hooks, 7, 1)
    await hooks.send(subscription)

    (one,) = receiver.received
    event = Webhook(secret).verify(one.body, dict(one.headers))
    assert one.id == event_id
    assert (one.method, one.path, one.headers["content-type"]) == ("POST", "/hook", "application/json")
    assert event["type"] == "tierwise.customer.tier-changed.v1"
    assert {**event["data"], "reasons": [], "rulebook": ""} == {
        "customer_id": public_id(7), "sequence": 1, "aspect": "tier", "from": "C", "to": "B", "score": 67.5,
        "at": "2026-11-20T12:00:00Z", "rulebook": "", "cuts": None, "cause": {"kind": "interaction"}, "reasons": [],
    }  # fmt: skip
    (delivery,) = await hooks.log(subscription)
    (attempt,) = delivery["attempts"]
    assert (delivery["state"], delivery["event_id"], attempt["status"]) == ("delivered", event_id, 204)
    assert attempt["ms"] >= 0
    await hooks.send(subscription)
    assert len(receiver.received) == 1


async def test_anyone_can_check_the_asymmetric_signature_with_the_public_key(
    hooks: Webhooks, receiver: Endpoint
) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    await happened(hooks, 7, 1)
    await hooks.send(subscription)

    (one,) = receiver.received
    (signature,) = [part[4:] for part in one.headers["webhook-signature"].split() if part.startswith("v1a,")]
    key = Ed25519PublicKey.from_public_bytes(b64decode(subscription.live[0].secret.public_text.removeprefix("whpk_")))
    signed = f"{one.id}.{one.headers['webhook-timestamp']}.".encode() + one.body
    key.verify(b64decode(signature), signed)


async def test_while_a_secret_rotates_both_sign(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, old = await hooks.subscribe(receiver.url)
    async with hooks.engine.begin() as connection:
        new = await rotate_secret(connection, hooks.vault, subscription.id)
    await happened(hooks, 7, 1)
    await hooks.send(subscription)
    for secret in (old, new):
        Webhook(secret).verify(receiver.received[0].body, dict(receiver.received[0].headers))

    async with hooks.engine.begin() as connection:
        newest = await rotate_secret(connection, hooks.vault, subscription.id, grace=timedelta(0))
    await happened(hooks, 7, 2)
    await hooks.send(subscription)
    last = receiver.received[-1]
    Webhook(newest).verify(last.body, dict(last.headers))
    assert len(last.headers["webhook-signature"].split()) == 2
    assert [one.ends_at for one in (await hooks.shown(subscription)).live] == [None]


FILTERED: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3, 4]),
    ({"aspects": ["tier"]}, [1, 4]),
    ({"aspects": ["tag", "lifecycle"]}, [2, 3]),
    ({"aspects": ["tag:behaviour.browsing"]}, [3]),
    ({"aspects": ["tag:behaviour.spending"]}, []),
    ({"from": ["C"], "to": ["B"]}, [1]),
    ({"to": ["A"], "causes": ["interaction", "time"]}, [4]),
    ({"causes": ["release", "import", "cuts"]}, [5, 6, 7]),
    ({"aspects": ["tier"], "causes": ["cuts"]}, [7]),
]


async def test_only_what_passes_the_filters_is_sent_and_bulk_only_to_those_who_ask(
    hooks: Webhooks, receiver: Endpoint
) -> None:
    subscriptions = [
        (await hooks.subscribe(f"{receiver.url}/{number}", filters=filters))[0]
        for number, (filters, _) in enumerate(FILTERED)
    ]
    async with hooks.engine.begin() as connection:
        await record(connection, 7, 1)
        await record(connection, 7, 2, "lifecycle", **{"from": "active", "to": "loyal"})
        await record(connection, 7, 3, "tag:behaviour.browsing", **{"from": None, "to": "high"})
        await record(connection, 7, 4, cause="time", **{"from": "B", "to": "A"})
        for sequence, cause in enumerate(("release", "import", "cuts"), start=5):
            await record(connection, 7, sequence, cause=cause, **{"from": "A", "to": "C"})
        await record(connection, 7, 8, cause="release", quiet=True)
    for number, subscription in enumerate(subscriptions):
        await hooks.send(subscription)
        sent = [one.event["data"]["sequence"] for one in receiver.received if one.path == f"/hook/{number}"]
        assert sent == FILTERED[number][1], FILTERED[number][0]


async def test_what_was_before_the_subscription_is_not_sent(hooks: Webhooks, receiver: Endpoint) -> None:
    await happened(hooks, 7, 1)
    subscription, _ = await hooks.subscribe(receiver.url)
    later = await happened(hooks, 7, 2)
    await hooks.send(subscription)
    assert receiver.ids == [later]


async def test_a_change_of_a_transaction_that_commits_late_is_sent_too(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    async with hooks.engine.begin() as slow:
        await record(slow, 8, 1)
        await happened(hooks, 7, 1)
        await hooks.send(subscription)
        assert receiver.ids == []  # not past the oldest transaction running
    await hooks.send(subscription)
    assert sorted(receiver.ids) == sorted([f"{public_id(8)}:1", f"{public_id(7)}:1"])


async def test_a_customers_next_change_waits_for_the_one_before_and_others_do_not(
    hooks: Webhooks, receiver: Endpoint
) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    first, second, other = [await happened(hooks, *one) for one in ((7, 1), (7, 2), (8, 1))]

    async def refuse_the_first(one: Received) -> Answer:
        return Answer(500 if one.id == first else 204)

    receiver.answer = refuse_the_first
    await hooks.send(subscription)
    assert sorted(receiver.ids) == sorted([first, other])
    receiver.says(204)
    await hooks.later(seconds=7)
    await hooks.send(subscription)
    assert receiver.ids[2:] == [first, second]


async def test_more_than_fits_into_the_queue_waits_in_the_history(
    hooks: Webhooks, receiver: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "WAITING_MAX", 10)
    monkeypatch.setattr(queue, "PAGE", 7)
    subscription, _ = await hooks.subscribe(receiver.url)
    receiver.says(503)
    async with hooks.engine.begin() as connection:
        for customer in range(40):
            await record(connection, customer, 1)
    await hooks.send(subscription)
    assert (await hooks.shown(subscription)).pending < 20
    receiver.says(204)
    await hooks.later(seconds=7)
    await hooks.send(subscription)
    assert len(set(receiver.ids)) == 40
    assert (await hooks.shown(subscription)).pending == 0


async def test_what_fails_is_tried_again_by_the_schedule_with_the_same_id(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    receiver.says(500)
    event_id = await happened(hooks, 7, 1)
    await hooks.send(subscription)
    for retry, pause in enumerate(RETRIES, start=1):
        await hooks.later(seconds=pause.total_seconds() - 1)
        await hooks.send(subscription)
        assert len(receiver.received) == retry
        await hooks.later(seconds=pause.total_seconds() * 0.2 + 2)
        await hooks.send(subscription)
        assert len(receiver.received) == retry + 1
    assert set(receiver.ids) == {event_id}
    assert len({one.headers["webhook-timestamp"] for one in receiver.received}) == 10


async def test_a_sender_whose_clock_is_wrong_sends_neither_early_nor_late_and_signs_by_it(
    hooks: Webhooks, receiver: Endpoint
) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    receiver.says(500)
    for days in (3, -6):
        hooks.clock.now += timedelta(days=days)
        await happened(hooks, 7 + days, 1)
        await hooks.send(subscription)
    assert len(receiver.received) == 2  # each once
    signed = [int(one.headers["webhook-timestamp"]) for one in receiver.received]
    assert signed[0] - signed[1] == timedelta(days=6).total_seconds()
    for delivery in await hooks.log(subscription):
        due, at = (datetime.fromisoformat(one) for one in (delivery["due"], delivery["attempts"][0]["at"]))
        assert timedelta(seconds=5) <= due - at < timedelta(seconds=60)
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)


async def test_an_endpoint_that_takes_nothing_to_the_last_attempt_is_disabled_and_nothing_is_lost(
    hooks: Webhooks, receiver: Endpoint
) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    receiver.says(500)
    event_id = await happened(hooks, 7, 1)
    await hooks.send(subscription)
    for pause in RETRIES:
        await hooks.later(seconds=pause.total_seconds() * 1.2)
        await hooks.send(subscription)
    disabled = await hooks.shown(subscription)
    assert disabled.described.enabled is False
    assert disabled.disabled is not None
    assert disabled.disabled[0] == "exhausted"
    assert disabled.disabled[1] <= datetime.now(UTC)
    assert (await hooks.log(subscription))[0]["state"] == "pending"

    later = await happened(hooks, 7, 2)
    receiver.says(204)
    del receiver.received[:]
    await hooks.send(subscription)
    assert receiver.ids == []
    assert (await hooks.change(subscription, enabled=True)).disabled is None
    await hooks.send(subscription)
    assert receiver.ids == [event_id, later]


async def test_one_event_that_is_never_taken_is_given_up_where_others_are_taken(
    hooks: Webhooks, receiver: Endpoint
) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    poison = await happened(hooks, 7, 1)

    async def refuse(one: Received) -> Answer:
        return Answer(400, body=b"no \0" + b"x" * 5_000) if one.id == poison else Answer()

    receiver.answer = refuse
    await hooks.send(subscription)
    await happened(hooks, 8, 1)
    for pause in RETRIES:
        await hooks.later(seconds=pause.total_seconds() * 1.2)
        await hooks.send(subscription)
    assert (await hooks.shown(subscription)).described.enabled
    first = (await hooks.log(subscription))[0]
    assert (first["state"], len(first["attempts"])) == ("failed", 10)
    assert first["attempts"][0]["answer"].startswith("no \ufffdxxx")
    assert len(first["attempts"][0]["answer"]) <= 1_000
    after = await happened(hooks, 7, 2)
    await hooks.send(subscription)
    assert receiver.ids[-1] == after


async def test_an_endpoint_that_is_gone_is_disabled_at_once(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    receiver.says(410)
    await happened(hooks, 7, 1)
    await hooks.send(subscription)
    shown = await hooks.shown(subscription)
    assert shown.disabled is not None
    assert (shown.described.enabled, shown.disabled[0]) == (False, "gone")
    assert hooks.post.metrics.disabled.labels("gone")._value.get() == 1


@pytest.mark.parametrize("header", ["600", "{date}"])
async def test_an_endpoint_that_asks_for_time_gets_it(hooks: Webhooks, receiver: Endpoint, header: str) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    date = (datetime.now(UTC) + timedelta(seconds=600)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    receiver.says(429, **{"Retry-After": header.format(date=date)})
    await happened(hooks, 7, 1)
    await hooks.send(subscription)
    await happened(hooks, 8, 1)
    await hooks.later(seconds=590)
    await hooks.send(subscription)
    assert len(receiver.received) == 1
    receiver.says(204)
    await hooks.later(seconds=11)
    await hooks.send(subscription)
    assert len(receiver.received) == 3


async def test_a_crash_after_sending_sends_again_with_the_same_id(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    event_id = await happened(hooks, 7, 1)
    courier = asyncio.create_task(Courier(hooks.post, subscription.id).round())

    async def crash(_: Received) -> Answer:
        courier.cancel()
        return Answer()

    receiver.answer = crash
    with pytest.raises(asyncio.CancelledError):
        await courier
    receiver.says(204)
    await hooks.send(subscription)
    assert receiver.ids == [event_id, event_id]
    assert [one["state"] for one in await hooks.log(subscription)] == ["delivered"]


async def test_two_that_send_the_same_record_it_once(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    await happened(hooks, 7, 1)
    rounds = (Courier(hooks.post, subscription.id).round() for _ in range(2))
    ended = await asyncio.gather(*rounds, return_exceptions=True)
    assert {type(one) for one in ended} <= {bool, queue.CursorTaken}
    log = await hooks.log(subscription)
    assert [len(one["attempts"]) for one in log] == [1]


async def test_a_time_range_is_sent_again_with_the_ids_it_had(hooks: Webhooks, receiver: Endpoint) -> None:
    first, second = await happened(hooks, 7, 1), await happened(hooks, 7, 2, cause="release")
    subscription, _ = await hooks.subscribe(receiver.url)
    now = datetime.now(UTC)
    async with hooks.engine.begin() as connection:
        hour = timedelta(hours=1)
        assert await add_replay(connection, subscription.id, now - hour, now + hour) == 2
        assert await add_replay(connection, subscription.id, now - 2 * hour, now - hour) == 0
    third = await happened(hooks, 7, 3)
    await hooks.send(subscription)
    assert second not in receiver.ids
    assert sorted(set(receiver.ids)) == [first, third]
    assert [one["kind"] for one in await hooks.log(subscription)].count("replay") >= 1


async def test_a_test_is_sent_once_also_to_a_subscription_that_is_disabled(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, secret = await hooks.subscribe(receiver.url, enabled=False)
    await happened(hooks, 7, 1)
    async with hooks.engine.begin() as connection:
        await add_test(connection, subscription.id)
    receiver.says(500)
    await hooks.send(subscription)
    (one,) = receiver.received
    assert Webhook(secret).verify(one.body, dict(one.headers))["type"] == "tierwise.webhook.test.v1"
    (delivery,) = await hooks.log(subscription)
    assert (delivery["kind"], delivery["state"], delivery["event_id"]) == ("test", "failed", one.id)


async def test_nothing_is_left_of_a_subscription_that_was_deleted(hooks: Webhooks, receiver: Endpoint) -> None:
    subscription, _ = await hooks.subscribe(receiver.url)
    await happened(hooks, 7, 1)
    await hooks.send(subscription)
    async with hooks.engine.begin() as connection:
        await delete_subscription(connection, subscription.id)
    await happened(hooks, 7, 2)
    await hooks.send(subscription)
    assert len(receiver.received) == 1
