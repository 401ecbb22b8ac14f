"""E-mail providers' webhooks from the request to the profile, and what could not be mapped on to a second go."""

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.command import tierwise
from tests.support.ingest import appended, appended_records, serving
from tests.support.mail import FORMATS
from tests.support.mail_signers import SIGNERS, TOPIC, Aws, Sent, Signer, example, mandrill, ses
from tests.support.product import Product
from tierwise.db.tables import dead_letters
from tierwise.domain import unmapped
from tierwise.security.personal import Vault
from tierwise.security.source_document import read_source
from tierwise.security.source_registry import create_source, rotate_secret, update_source
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_ingest import backend
from tierwise_ingest.checking import OnlineChecking
from tierwise_ingest.formats.mail import sendgrid
from tierwise_ingest.remapping.run import Chosen, Remapped, Rereader, known_sources, remap

LI = "li@example.com"
ALL = Chosen()


@dataclass
class Mail:
    """A product that providers send to, each known by its own name as a source."""

    client: httpx.AsyncClient
    product: Product
    signers: Mapping[str, Signer]
    keys: Mapping[str, str]
    aws: Aws

    async def send(self, name: str, sent: Sent, **headers: str) -> httpx.Response:
        given = {"Content-Type": "application/json", **sent.headers, **headers}
        return await self.client.post(f"/v1/webhooks/{name}/{name}", content=sent.body, headers=given)

    async def say(self, name: str, body: bytes, **headers: str) -> httpx.Response:
        """Proved as its provider does."""
        if name in self.keys:
            return await self.send(name, Sent(body, {"Authorization": f"Bearer {self.keys[name]}"}), **headers)
        return await self.send(name, self.signers[name].sign(body, datetime.now(UTC)), **headers)

    async def letters(self) -> list[Any]:
        async with self.product.engine.connect() as connection:
            return list(await connection.execute(select(dead_letters).order_by(dead_letters.c.id)))

    async def remap(self, chosen: Chosen = ALL, *, dry_run: bool = False) -> Remapped:
        product = self.product
        key = product.vault.key_hash("ids made from content")
        rereader = Rereader(await known_sources(product.engine), product.settings, key)
        stream = None if dry_run else product.stream
        return await remap(product.engine, stream, product.vault, rereader, chosen)


@pytest.fixture
async def mail(
    settings: Settings, engine: AsyncEngine, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mail]:
    aws = Aws(since=datetime(2026, 1, 1, tzinfo=UTC))

    @asynccontextmanager
    async def open_checking() -> AsyncIterator[OnlineChecking]:
        async with aws.client() as client:
            yield OnlineChecking(client)

    monkeypatch.setattr(backend, "open_checking", open_checking)
    signers = {name: make() for name, make in SIGNERS.items()} | {"ses": ses(aws)}
    signers["mandrill"] = mandrill("http://ingest/v1/webhooks/mandrill/mandrill")
    keys = {}
    async with engine.begin() as connection:
        for name in FORMATS:
            intake = {"topics": [TOPIC]} if name == "ses" else {}
            made = await create_source(connection, vault, read_source({"name": name, "intake": intake}))
            if name not in signers:
                keys[name] = made.secret
            elif signers[name].secret:
                await rotate_secret(connection, vault, name, signers[name].secret)
    async with serving(settings) as client, open_stream(settings, engine, vault) as stream:
        yield Mail(client, Product(engine, stream, vault, settings), signers, keys, aws)


async def test_what_every_provider_sends_is_on_the_profile_once_however_often_it_is_sent(
    mail: Mail, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    for name in FORMATS:
        for _ in range(2):
            response = await mail.say(name, example(name))
            assert (response.status_code, response.json()) == (
                200,
                {"accepted": 1, "ignored": 0, "rejected": 0, "kept": False, "results": []},
            )
    made = {(one.source, one.id): one.type for one in await appended(settings, engine, vault)}
    assert sorted(source for source, _ in made) == sorted(FORMATS)
    assert set(made.values()) == {"opened", "clicked"}
    await mail.product.score()
    view = await mail.product.view("email", LI)
    assert view["interactions"] == len(FORMATS)


@pytest.mark.parametrize("name", ["sendgrid", "postmark"])
async def test_nobody_sends_in_anothers_name(mail: Mail, name: str) -> None:
    sent = Sent(example(name), {"Authorization": f"Bearer {mail.keys['brevo']}"})
    assert (await mail.send(name, sent)).status_code == 401
    assert (await mail.client.post(f"/v1/webhooks/{name}/nobody", content=example(name))).status_code == 401


async def test_a_source_sends_in_the_formats_that_it_was_given_alone(mail: Mail) -> None:
    async with mail.product.engine.begin() as connection:
        await update_source(connection, "postal", {"intake": {"formats": ["native"]}})
    response = await mail.say("postal", example("postal"))
    assert (response.status_code, response.json()["code"]) == (403, "format_not_allowed")


async def test_providers_may_look_whether_the_address_is_there(mail: Mail) -> None:
    assert (await mail.client.head("/v1/webhooks/mandrill/mandrill")).status_code == 200
    assert (await mail.client.get("/v1/webhooks/unisender_go/unisender_go")).status_code == 200
    assert (await mail.client.get("/v1/webhooks/unisender_go/nobody")).status_code == 401


async def test_a_subscription_to_a_topic_is_confirmed_and_is_no_interaction(mail: Mail) -> None:
    url = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"
    asked = {"Type": "SubscriptionConfirmation", "MessageId": "1", "Message": "?", "Token": "t", "SubscribeURL": url}
    response = await mail.say("ses", json.dumps(asked).encode())
    assert response.json()["ignored"] == 1
    assert url in mail.aws.visited


def batch(*events: Any) -> bytes:
    """Of SendGrid, with ids."""
    return json.dumps([{"email": LI, "sg_event_id": f"e-{n}"} | one for n, one in enumerate(events)]).encode()


async def metrics(mail: Mail) -> str:
    return (await mail.client.get("/metrics")).text


async def test_what_cannot_be_mapped_is_kept_whole_without_its_secrets(mail: Mail) -> None:
    body = batch({"event": "open"}, {"event": "teleported"})
    response = await mail.say("sendgrid", body, **{"X-Request-Id": "r-1", "Cookie": "c"})
    assert response.status_code == 200
    answer = response.json()
    assert (answer["accepted"], answer["rejected"], answer["kept"]) == (1, 1, True)
    assert answer["results"][0]["field"] == "event"
    await mail.product.score()

    (letter,) = await mail.letters()
    assert (letter.reason, letter.detail) == ("unmapped", "sendgrid (sendgrid): unknown_event: event")
    kept = unmapped.decode(mail.product.vault.open(letter.ciphertext))
    assert (kept.body, kept.indexes, kept.path) == (body, (1,), "/v1/webhooks/sendgrid/sendgrid")
    assert kept.headers["x-request-id"] == "r-1"
    assert not [name for name in kept.headers if "signature" in name or name == "cookie"]
    assert LI.encode() not in letter.ciphertext
    counted = 'tierwise_ingest_unmapped_requests_total{reason="unknown_event",source="sendgrid"} 1.0'
    assert counted in await metrics(mail)


async def test_after_a_fix_what_was_kept_is_read_again_and_counted_once(
    mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mail.say("sendgrid", batch({"event": "open"}, {"event": "teleported"}))
    await mail.say("mailtrap", json.dumps({"events": [{"event": "teleported", "email": LI}]}).encode())
    await mail.product.score()
    nothing = await mail.remap()
    assert (nothing.letters, nothing.mapped, nothing.left.total()) == (2, 0, 2)

    monkeypatch.setitem(sendgrid._TYPES, "teleported", "clicked")  # the next version
    assert (await mail.remap(dry_run=True)).mapped == 1
    assert (await mail.remap(Chosen(source="mailtrap"))).mapped == 0
    assert (await mail.remap(Chosen(code="invalid_body"))).letters == 0
    done = await mail.remap(Chosen(source="sendgrid"))
    assert (done.letters, done.mapped, done.interactions) == (1, 1, 2)
    await mail.product.score()
    assert (await mail.product.view("email", LI))["interactions"] == 2
    replayed = {"sendgrid" in letter.detail: letter.replayed_at is not None for letter in await mail.letters()}
    assert replayed == {True: True, False: False}
    assert (await mail.remap(Chosen(source="sendgrid"))).letters == 0


async def test_once_a_source_is_trusted_with_more_the_command_reads_again_what_it_sent(
    mail: Mail, settings: Settings
) -> None:
    engine = mail.product.engine
    async with engine.begin() as connection:
        await update_source(connection, "postmark", {"trust": {"channels": ["web"]}})
    answer = (await mail.say("postmark", example("postmark"))).json()
    assert (answer["results"][0]["code"], answer["kept"]) == ("channel_not_allowed", True)
    await mail.product.score()
    assert (await mail.remap()).left == {("postmark", "postmark", "channel_not_allowed"): 1}
    async with engine.begin() as connection:
        await update_source(connection, "postmark", {"trust": {"channels": None}})

    chosen = ("--source", "postmark", "--reason", "channel_not_allowed")
    tried = await tierwise(settings, "remap", *chosen, "--dry-run", "--json")
    expected = {"letters": 1, "mapped": 1, "interactions": 1, "left": [], "dry_run": True}
    assert json.loads(tried.stdout) == expected
    done = await tierwise(settings, "remap", *chosen)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("1 requests read again: 1 mapped whole, 1 interactions appended")
    await mail.product.score()
    assert (await mail.product.view("email", LI))["interactions"] == 1
    assert (await mail.remap()).letters == 0


async def test_what_was_kept_is_not_put_on_the_stream_as_it_is(mail: Mail, settings: Settings) -> None:
    await mail.say("sendgrid", b"[{]")
    await mail.product.score()
    (letter,) = await mail.letters()
    assert letter.detail.startswith("sendgrid (sendgrid): invalid_body")
    every = await tierwise(settings, "dead-letters", "replay", "--all")
    assert every.stdout.startswith("0 replayed")
    assert "1 were left: what a webhook sent" in every.stderr
    one = await tierwise(settings, "dead-letters", "replay", str(letter.id))
    assert one.status == 1
    assert "tierwise remap" in one.stderr


async def test_a_batch_larger_than_a_record_is_kept_compressed_and_what_cannot_be_is_said(
    mail: Mail, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    body = batch(*[{"event": "teleported", "useragent": "Mozilla/5.0 " * 20}] * 8_000)
    assert len(body) > 2_000_000
    assert (await mail.say("sendgrid", body)).json()["kept"] is True
    noise = random.Random(1).randbytes(1_000_000).hex()
    answer = (await mail.say("sendgrid", batch({"event": "open"}, {"event": "teleported", "noise": noise}))).json()
    assert (answer["accepted"], answer["rejected"], answer["kept"]) == (1, 1, False)
    assert len(await appended_records(settings, engine, vault)) == 2
    refused = await mail.say("mailgun", json.dumps({"event-data": {"event": "teleported", "noise": noise}}).encode())
    assert refused.status_code == 406


async def test_what_must_not_be_stored_is_not_kept(
    mail: Mail, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    async with engine.begin() as connection:
        await update_source(connection, "brevo", {"intake": {"without_consent": "refuse"}})
    answer = (await mail.say("brevo", example("brevo"), DNT="1")).json()
    assert (answer["rejected"], answer["kept"], answer["results"][0]["code"]) == (1, False, "no_consent")
    assert await appended_records(settings, engine, vault) == []
