"""Twilio's callbacks: whose they are, and the interactions that they tell."""

import json
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from tests.support.proof import proof
from tests.support.webhooks import NOW, items, one, rejected, requested, terms
from tierwise.problem import Problem
from tierwise.security.sources import Unverified
from tierwise_ingest.formats.format import Checking, Ignored
from tierwise_ingest.formats.twilio import TWILIO, verify
from tierwise_ingest.outcome import Outcome, Rejection
from tierwise_ingest.request import Request

PATH = "/v1/webhooks/twilio/system"
FORM = "application/x-www-form-urlencoded"
TOKEN = b"12345678901234567890123456789012"
CALL = {
    "CallSid": "CA1",
    "CallStatus": "completed",
    "CallDuration": "185",
    "Direction": "outbound-api",
    "From": "+862150000000",
    "To": "+8613800138000",
    "SequenceNumber": "3",
    "Timestamp": "Fri, 20 Nov 2026 01:30:00 +0000",
}
MESSAGE = {"MessageSid": "SM1", "MessageStatus": "delivered", "From": "+862150000000", "To": "+8613800138000"}


def called(fields: dict[str, Any], *, headers: dict[str, str] | None = None, path: str = PATH) -> Request:
    return requested(path, urlencode(fields).encode(), media_type=FORM, headers=headers)


def signed(
    fields: dict[str, Any],
    *,
    token: bytes = TOKEN,
    url: str = f"https://in.example{PATH}",
    algorithm: str | None = None,
) -> Request:
    """As Twilio's own library signs it."""
    headers = {"X-Twilio-Signature": RequestValidator(token.decode()).compute_signature(url, fields, algorithm)}
    if algorithm is not None:
        headers["X-Twilio-Webhooks-Signature-Settings"] = f"key=k1,algorithm={algorithm}"
    return called(fields, headers=headers)


async def check(request: Request, *secrets: bytes) -> None:
    await verify(request, terms().source, secrets or (TOKEN,), _nothing_needed())


def _nothing_needed() -> Checking:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize("fields", [CALL, MESSAGE, {}, {"Body": "好 的+&=", "Empty": "", "Äa": "ü"}])
@pytest.mark.parametrize("algorithm", [None, "HMAC_SHA256"])
async def test_what_twilios_library_signs_is_verified(fields: dict[str, str], algorithm: str | None) -> None:
    await check(signed(fields, algorithm=algorithm))
    await check(signed(fields, algorithm=algorithm), b"another", TOKEN)
    await check(signed(fields, url=f"https://in.example:443{PATH}", algorithm=algorithm))


async def test_anything_else_is_not() -> None:
    right, by_sha256 = signed(CALL), signed(CALL, algorithm="HMAC_SHA256")
    wrong: list[Request] = [
        called(CALL),
        signed(CALL, token=b"another"),
        signed(CALL, url=f"http://in.example{PATH}"),
        signed(CALL, url=f"https://other.example{PATH}"),
        called(CALL | {"CallDuration": "1"}, headers={"X-Twilio-Signature": right.header("x-twilio-signature") or ""}),
        called(CALL, headers={"X-Twilio-Signature": "ü" * 28}),
        called(CALL, headers={"X-Twilio-Signature": by_sha256.header("x-twilio-signature") or ""}),
    ]
    for request in wrong:
        with pytest.raises(Unverified):
            await check(request)
    with pytest.raises(Unverified):
        await verify(right, terms().source, (), _nothing_needed())


async def test_a_body_of_json_is_signed_by_its_digest_in_the_address() -> None:
    body = json.dumps(CALL)
    path = f"{PATH}?bodySHA256={sha256(body.encode()).hexdigest()}"
    signature = RequestValidator(TOKEN.decode()).compute_signature(f"https://in.example{path}", {})
    headers = {"X-Twilio-Signature": signature}
    request = requested(path, body.encode(), media_type="application/json", headers=headers)
    await check(request)
    assert one(TWILIO, request).type == "completed"
    for other in (
        requested(path, b"{}", media_type="application/json", headers=headers),
        requested(PATH, body.encode(), media_type="application/json", headers=headers),
    ):
        with pytest.raises(Unverified):
            await check(other)


async def test_an_address_without_a_body_is_signed_as_it_is() -> None:
    path = f"{PATH}?{urlencode(CALL)}"
    signature = RequestValidator(TOKEN.decode()).compute_signature(f"https://in.example{path}", {})
    request = requested(path, method="GET", headers={"X-Twilio-Signature": signature})
    await check(request)
    assert one(TWILIO, request).type == "completed"


def test_a_call_is_told_with_whom_it_was_and_how_long() -> None:
    found = one(TWILIO, called(CALL))
    assert (found.channel, found.type, found.id) == ("call", "completed", "CA1 completed")
    assert found.identifiers == {"phone": "+8613800138000"}
    assert found.time == NOW - timedelta(minutes=30)
    assert found.properties == {
        "direction": "outbound",
        "duration_s": 185,
        "outcome": "completed",
        "sequence": "3",
        "call_id": "CA1",
    }
    inbound = one(TWILIO, called(CALL | {"Direction": "inbound", "From": "+8613900139000"}))
    assert inbound.identifiers == {"phone": "+8613900139000"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"CallStatus": "busy"}, "missed"),
        ({"CallStatus": "no-answer"}, "missed"),
        ({"CallStatus": "canceled"}, "missed"),
        ({"CallStatus": "failed"}, "missed"),
        ({"CallStatus": "failed", "SipResponseCode": "404"}, "wrong_number"),
        ({"CallStatus": "failed", "SipResponseCode": "603"}, "refused"),
        ({"AnsweredBy": "human"}, "completed"),
        ({"AnsweredBy": "machine_end_beep"}, "voicemail"),
        ({"AnsweredBy": "fax"}, "wrong_number"),
    ],
)
def test_how_a_call_ended_is_its_type(change: dict[str, str], expected: str) -> None:
    assert one(TWILIO, called(CALL | change)).type == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "delivered"),
        ({"MessageStatus": "sent"}, "sent"),
        ({"MessageStatus": "read"}, "opened"),
        ({"MessageStatus": "failed"}, "bounced"),
        ({"MessageStatus": "undelivered"}, "bounced"),
        ({"MessageStatus": "received"}, "replied"),
        ({"MessageStatus": "", "SmsStatus": "received", "OptOutType": "STOP"}, "unsubscribed"),
        ({"MessageStatus": "received", "OptOutType": "START"}, "subscribed"),
    ],
)
def test_what_became_of_a_message_is_its_type(change: dict[str, str], expected: str) -> None:
    found = one(TWILIO, called(MESSAGE | change))
    assert (found.channel, found.type) == ("sms", expected)
    received = expected in ("replied", "unsubscribed", "subscribed")
    assert found.identifiers == {"phone": "+862150000000" if received else "+8613800138000"}


def test_a_bounce_says_whether_the_number_is_to_blame() -> None:
    bounce = MESSAGE | {"MessageStatus": "undelivered"}
    assert one(TWILIO, called(bounce | {"ErrorCode": "30005"})).properties["hard"] is True
    assert one(TWILIO, called(bounce | {"ErrorCode": "30003"})).properties["hard"] is False


def test_whatsapp_is_a_way_to_the_same_number() -> None:
    found = one(TWILIO, called(MESSAGE | {"To": "whatsapp:+8613800138000"}))
    assert found.identifiers == {"phone": "+8613800138000"}
    assert found.properties["via"] == "whatsapp"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (CALL | {"CallStatus": "ringing"}, "in_progress"),
        (CALL | {"CallStatus": ""}, "of_no_call"),
        (MESSAGE | {"MessageStatus": "queued"}, "in_progress"),
        (CALL | {"Direction": "inbound", "From": "anonymous"}, "number_withheld"),
        (CALL | {"Direction": "inbound", "From": "+266696687"}, "number_withheld"),
    ],
)
def test_what_tells_nothing_of_a_customer_is_passed_over(fields: dict[str, str], reason: str) -> None:
    assert items(TWILIO, called(fields)) == [Ignored(reason)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("unknown_event", "MessageSid")),
        (CALL | {"CallStatus": "teleported"}, ("unknown_event", "CallStatus")),
        (MESSAGE | {"MessageStatus": "teleported"}, ("unknown_event", "MessageStatus")),
        (CALL | {"To": "client:alice"}, ("invalid_identifier", "To")),
    ],
)
def test_what_is_not_understood_is_named_in_twilios_words(fields: dict[str, str], expected: tuple[str, str]) -> None:
    assert rejected(TWILIO, called(fields)) == expected


def test_the_answer_is_an_empty_document_and_counts_in_headers() -> None:
    refused = Rejection(index=0, code="unknown_event", field="CallStatus", detail="no")
    response = TWILIO.answer(called(CALL), Outcome(rejections=[refused]))
    assert (response.status, response.body) == (200, b"<Response/>")
    headers = dict(response.headers)
    assert headers[b"tierwise-rejected"] == b"1"
    assert headers[b"tierwise-reason"] == b"unknown_event CallStatus"


@proof
@given(
    st.dictionaries(st.sampled_from([*CALL, *MESSAGE, "AnsweredBy", "SmsStatus"]), st.text(max_size=12)),
    st.sampled_from(["POST", "GET"]),
)
def test_no_fields_whatever_break_it(fields: dict[str, str], method: str) -> None:
    encoded = urlencode(fields, errors="replace")
    path = f"{PATH}?{encoded}" if method == "GET" else PATH
    items(TWILIO, requested(path, encoded.encode(), media_type=FORM, method=method))


@proof
@given(st.binary(max_size=50), st.sampled_from([FORM, "application/json", "text/plain"]))
async def test_no_bytes_whatever_break_it(content: bytes, media_type: str) -> None:
    request = requested(PATH, content, media_type=media_type)
    with suppress(Problem):
        items(TWILIO, request)
    with pytest.raises(Unverified):
        await check(request)
