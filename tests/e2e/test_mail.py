"""E-mail providers against a running product: what they send is on the timeline of whom they sent it to, once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from tests.support.mail import FORM
from tests.support.mail_signers import Sent, Signer, example, mailgun, mandrill, sendgrid
from tests.support.served import Served
from tierwise.db.engine import open_engine
from tierwise.security.personal import open_vault
from tierwise.security.source_registry import rotate_secret


@pytest.fixture
async def sending(product: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=product.ingest.url, timeout=30) as client:
        yield client


async def known(product: Served, name: str, signer: Signer) -> None:
    """A source of that name and format, with the signer's secret."""
    await product.source(name, formats=[name])
    async with open_engine(product.deployment.settings) as engine, engine.begin() as connection:
        vault = await open_vault(connection, product.deployment.settings)
        await rotate_secret(connection, vault, name, signer.secret)


def signed(signer: Signer, body: bytes, recipient: str) -> Sent:
    quoted = recipient.replace("@", "%40").encode()
    mine = body.replace(b"li%40example.com", quoted).replace(b"li@example.com", recipient.encode())
    return signer.sign(mine, datetime.now(UTC))


async def test_a_click_is_on_the_timeline_with_its_time_and_address(
    product: Served, sending: httpx.AsyncClient
) -> None:
    signer, recipient = sendgrid(), "sendgrid@mail.example"
    await known(product, "sendgrid", signer)
    sent = signed(signer, example("sendgrid"), recipient)
    for _ in range(2):
        response = await sending.post("/v1/webhooks/sendgrid/sendgrid", content=sent.body, headers=sent.headers)
        assert response.json()["accepted"] == 1
    (one,) = await product.timeline("email", recipient, of=1)
    assert (one["channel"], one["type"], one["time"]) == ("email", "clicked", "2026-11-20T01:30:00Z")
    assert one["properties"]["url"] == "https://shop.example/courses"


async def test_what_was_answered_with_503_is_taken_when_the_provider_tries_again(
    product: Served, sending: httpx.AsyncClient
) -> None:
    signer, recipient = mailgun(), "mailgun@mail.example"
    await known(product, "mailgun", signer)
    first, second = (signed(signer, example("mailgun"), recipient) for _ in range(2))
    assert (await sending.post("/v1/webhooks/mailgun/mailgun", content=first.body)).status_code == 200
    async with product.without_database():
        refused = await sending.post("/v1/webhooks/mailgun/mailgun", content=second.body)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    # Its token was seen by then: a try again is no replay.
    for _ in range(2):
        again = await sending.post("/v1/webhooks/mailgun/mailgun", content=second.body)
        assert (again.status_code, again.json()["accepted"]) == (200, 1)
    (one,) = await product.timeline("email", recipient, of=1)
    assert one["type"] == "opened"


async def test_mandrill_finds_the_address_and_signs_it(product: Served, sending: httpx.AsyncClient) -> None:
    path = "/v1/webhooks/mandrill/mandrill"
    signer, recipient = mandrill(product.ingest.url + path), "mandrill@mail.example"
    await known(product, "mandrill", signer)
    found = await sending.head(path)
    assert (found.status_code, found.content) == (200, b"")
    sent = signed(signer, example("mandrill"), recipient)
    response = await sending.post(path, content=sent.body, headers={**sent.headers, "Content-Type": FORM})
    assert response.json()["accepted"] == 1
    (one,) = await product.timeline("email", recipient, of=1)
    assert one["type"] == "clicked"
    elsewhere = {**sent.headers, "X-Forwarded-Host": "hooks.example"}  # a proxy that nobody named
    assert (await sending.post(path, content=sent.body, headers=elsewhere)).status_code == 200
