"""Who may speak for a provider: signatures right and wrong, for every provider that has one."""

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook  # type: ignore[import-untyped]

from tests.support.mail import FORM, FORMATS, NOW, form, posted, source
from tests.support.mail_signers import SIGNERS, CheckingAt, Sent, example, mailgun, mandrill, postal, sendgrid
from tierwise.domain.source import Source
from tierwise.problem import Problem
from tierwise_ingest.formats.format import Signature, WriteKey
from tierwise_ingest.request import Request

SIGNED = pytest.mark.parametrize("name", SIGNERS)
DATED = pytest.mark.parametrize(("name", "window"), [("sendgrid", 25 * 60), ("mailgun", 9 * 60), ("resend", 5)])


def request_of(name: str, sent: Sent) -> Request:
    return posted(sent.body, name=name, headers=sent.headers)


async def verify(
    name: str,
    request: Request,
    secrets: Sequence[str],
    *,
    checking: CheckingAt | None = None,
    sender: Source | None = None,
) -> None:
    credentials = FORMATS[name].credentials
    assert isinstance(credentials, Signature)
    encoded = [one.encode() for one in secrets]
    await credentials.verify(request, sender or source(), encoded, checking or CheckingAt())


async def is_refused(name: str, request: Request, secrets: Sequence[str], checking: CheckingAt | None = None) -> int:
    with pytest.raises(Problem) as refused:
        await verify(name, request, secrets, checking=checking)
    return refused.value.status


def test_every_provider_is_signed_for_or_has_a_key() -> None:
    keyed = {name for name, one in FORMATS.items() if isinstance(one.credentials, WriteKey)}
    assert keyed == {"postmark", "brevo", "mailjet", "sparkpost"}
    assert FORMATS.keys() - keyed == SIGNERS.keys() | {"ses"}


@SIGNED
async def test_what_is_signed_with_the_sources_secret_is_believed(name: str) -> None:
    signer = SIGNERS[name]()
    await verify(name, request_of(name, signer.sign(example(name), NOW)), [signer.secret])


@SIGNED
async def test_while_secrets_rotate_each_of_them_is_good(name: str) -> None:
    old, new = SIGNERS[name](), SIGNERS[name]()
    for signer in (old, new):
        await verify(name, request_of(name, signer.sign(example(name), NOW)), [new.secret, old.secret])


@SIGNED
async def test_another_secret_or_none_is_refused(name: str) -> None:
    signer, other = SIGNERS[name](), SIGNERS[name]()
    request = request_of(name, signer.sign(example(name), NOW))
    for secrets in ([other.secret], [], ["not-even-a-key"]):
        assert await is_refused(name, request, secrets) == 401


@SIGNED
async def test_without_a_signature_it_is_refused(name: str) -> None:
    signer = SIGNERS[name]()
    headers = {"Content-Type": FORM} if name == "mandrill" else {}
    unsigned = posted(example(name), name=name, headers=headers)
    assert await is_refused(name, unsigned, [signer.secret]) in (401, 406)


@pytest.mark.parametrize("name", sorted(SIGNERS.keys() - {"mailgun"}))
async def test_a_body_that_was_changed_is_refused(name: str) -> None:
    signer = SIGNERS[name]()
    sent = signer.sign(example(name), NOW)
    body = sent.body.replace(b"li%40example", b"mallory%40example").replace(b"li@example", b"mallory@example")
    assert body != sent.body
    assert await is_refused(name, request_of(name, Sent(body, sent.headers)), [signer.secret]) == 401


@DATED
async def test_what_is_older_than_its_provider_tries_is_refused(name: str, window: int) -> None:
    signer = SIGNERS[name]()
    request = request_of(name, signer.sign(example(name), NOW))
    await verify(name, request, [signer.secret], checking=CheckingAt(NOW + timedelta(minutes=window)))
    for late in (NOW + timedelta(minutes=window, seconds=1), NOW - timedelta(minutes=window, seconds=1)):
        assert await is_refused(name, request, [signer.secret], CheckingAt(late)) in (401, 406)


@SIGNED
async def test_bytes_that_are_no_text_are_refused_and_not_stumbled_over(name: str) -> None:
    signer = SIGNERS[name]()
    sent = signer.sign(example(name), NOW)
    headers = dict.fromkeys(sent.headers, "\xff\xfe ~ =")
    assert await is_refused(name, posted(b"\xff\xfe\x00{", name=name, headers=headers), [signer.secret]) in (401, 406)


async def test_sendgrids_own_verifier_agrees() -> None:
    signer = sendgrid()
    sent = signer.sign(example("sendgrid"), NOW)
    signature, timestamp = sent.headers.values()
    theirs = EventWebhook(signer.secret)
    assert theirs.verify_signature(sent.body.decode(), signature, timestamp)
    await verify("sendgrid", request_of("sendgrid", sent), [signer.secret])
    pem = f"-----BEGIN PUBLIC KEY-----\n{signer.secret}\n-----END PUBLIC KEY-----\n"
    await verify("sendgrid", request_of("sendgrid", sent), [pem])


def with_recipient(sent: Sent, recipient: str) -> Request:
    return posted(sent.body.replace(b"li@example.com", recipient.encode()), name="mailgun")


async def test_a_mailgun_token_is_good_for_one_body() -> None:
    signer, checking = mailgun(), CheckingAt()
    sent = signer.sign(example("mailgun"), NOW)
    await verify("mailgun", request_of("mailgun", sent), [signer.secret], checking=checking)
    await verify("mailgun", request_of("mailgun", sent), [signer.secret], checking=checking)  # tried again
    for _ in range(2):
        assert await is_refused("mailgun", with_recipient(sent, "m@evil.example"), [signer.secret], checking) == 406


async def test_mailgun_is_told_not_to_try_again_only_where_that_cannot_help() -> None:
    signer = mailgun()
    wrong_key = request_of("mailgun", mailgun().sign(example("mailgun"), NOW))
    assert await is_refused("mailgun", wrong_key, [signer.secret]) == 401
    assert await is_refused("mailgun", posted("{", name="mailgun"), [signer.secret]) == 406


async def test_mailguns_older_form_is_signed_in_its_fields() -> None:
    signer = mailgun()
    proof = json.loads(signer.sign(b"{}", NOW).body)["signature"]
    fields = proof | {"event": "opened", "recipient": "li@example.com"}
    await verify("mailgun", form(fields, name="mailgun"), [signer.secret])
    assert await is_refused("mailgun", form(fields | {"token": "other"}, name="mailgun"), [signer.secret]) == 401


async def test_an_older_postal_signs_with_sha_1_and_a_newer_one_cannot_be_talked_down_to_it() -> None:
    signer = postal()
    sent = signer.sign(example("postal"), NOW)
    older = {"X-Postal-Signature": sent.headers["X-Postal-Signature"]}
    await verify("postal", posted(sent.body, name="postal", headers=older), [signer.secret])
    spoilt = posted(sent.body, name="postal", headers=older | {"X-Postal-Signature-256": "AAAA"})
    assert await is_refused("postal", spoilt, [signer.secret]) == 401


async def test_mandrill_signs_the_address_that_it_called() -> None:
    signer = mandrill("https://other.example/v1/webhooks/mandrill/mail")
    request = request_of("mandrill", signer.sign(example("mandrill"), NOW))
    assert await is_refused("mandrill", request, [signer.secret]) == 401


async def test_mandrill_may_look_before_it_has_a_key_but_say_nothing() -> None:
    tried = mandrill(secret="test-webhook")
    await verify("mandrill", posted(b"", name="mandrill", method="HEAD"), [])
    await verify("mandrill", request_of("mandrill", tried.sign(b"mandrill_events=%5B%5D", NOW)), [])
    assert await is_refused("mandrill", request_of("mandrill", tried.sign(example("mandrill"), NOW)), []) == 401


async def test_unisender_go_may_look_whether_it_is_there() -> None:
    await verify("unisender_go", posted(b"", name="unisender_go", method="GET"), [])
