"""A webhook of any system, read by the mapping that its source declares."""

import base64
import hmac
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tests.support.webhooks import NOW, items, one, rejected, requested, terms
from tierwise.domain.claim import Admitted, Terms
from tierwise.problem import Problem, Unauthorized
from tierwise.security.sources import Unverified
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Ignored, Signature, WriteKey
from tierwise_ingest.formats.mapped import MAPPED
from tierwise_ingest.request import Request

KEYED, SIGNED = MAPPED
PATH = "/v1/webhooks/mapped/system"
MAPPING = """
zone: Asia/Shanghai
time: {path: $.call.ended, as: time}
identifiers: {phone: {path: $.call.customer.number}}
interactions:
  - when: {path: $.event, is: hangup}
    id: {path: $.call.id}
    channel: call
    type: {path: $.call.result, map: {answered: completed, no_answer: missed}}
    properties: {duration_s: {path: $.call.seconds, as: integer}, direction: {path: $.call.direction}}
"""
CALL: dict[str, Any] = {
    "event": "hangup",
    "call": {
        "id": "c-1",
        "customer": {"number": "13800138000"},
        "result": "answered",
        "seconds": 185,
        "direction": "inbound",
        "ended": "2026-11-20 09:30:00",
    },
}


def mapped(mapping: str | None = MAPPING) -> Terms:
    return terms(mapping=mapping)


def posted(body: Any, **headers: str) -> Request:
    return requested(PATH, body, media_type="application/json", headers=headers)


def test_a_document_becomes_what_the_mapping_says() -> None:
    found = one(KEYED, posted(CALL), mapped())
    assert (found.channel, found.type, found.id) == ("call", "completed", "c-1")
    assert found.identifiers == {"phone": "+8613800138000"}
    assert (NOW - found.time).total_seconds() == 1800
    assert found.properties == {"duration_s": 185, "direction": "inbound"}
    assert one(SIGNED, posted(CALL), mapped()) == found


def test_an_array_has_its_elements_and_a_bad_one_costs_its_neighbours_nothing() -> None:
    bad = json.loads(json.dumps(CALL).replace("13800138000", "nobody"))
    found = items(KEYED, posted([CALL, bad, 7, {"event": "ringing"}, CALL]), mapped())
    assert [type(item).__name__ for item in found] == [
        "Admitted", "InvalidInteraction", "InvalidInteraction", "Ignored", "Admitted",
    ]  # fmt: skip
    assert found[3] == Ignored("not_mapped")


def test_a_form_is_read_by_the_names_of_its_fields() -> None:
    mapping = """
interactions:
  - {id: {column: callid}, time: import, channel: call, type: missed, identifiers: {phone: {column: caller}}}
"""
    body = urlencode({"callid": "c-2", "caller": "13800138000"}).encode()
    request = requested(PATH, body, media_type="application/x-www-form-urlencoded")
    found = one(KEYED, request, mapped(mapping))
    assert (found.id, found.time) == ("c-2", NOW)


def test_what_is_wrong_is_named_by_the_field_of_the_mapping() -> None:
    call = CALL | {"call": CALL["call"] | {"result": "teleported"}}
    assert rejected(KEYED, posted(call), mapped()) == ("unreadable", "type")
    nobody = CALL | {"call": {**CALL["call"], "customer": {}}}
    assert rejected(KEYED, posted(nobody), mapped())[0] == "missing_identifier"


def test_without_a_mapping_everything_is_kept_until_there_is_one() -> None:
    assert rejected(KEYED, posted(CALL), mapped(None))[0] == "no_mapping"
    assert rejected(KEYED, posted(CALL), mapped("interactions: 7"))[0] == "no_mapping"
    with pytest.raises(InvalidBody):
        items(KEYED, posted(b"no JSON"), mapped())


def test_the_key_comes_in_any_of_four_ways() -> None:
    assert isinstance(KEYED.credentials, WriteKey)
    find = KEYED.credentials.find
    basic = base64.b64encode(b"KEY:").decode()
    assert find(requested(f"{PATH}?token=KEY")) == "KEY"
    assert find(posted(b"", Authorization="Bearer KEY")) == find(posted(b"", Authorization=f"Basic {basic}")) == "KEY"
    assert find(posted(b"", **{"X-Tierwise-Key": "KEY"})) == "KEY"
    with pytest.raises(Unauthorized):
        find(posted(b""))


async def test_the_signature_is_the_bodys_in_any_usual_way_to_write_it() -> None:
    async def check(**headers: str) -> None:
        assert isinstance(SIGNED.credentials, Signature)
        secrets = (b"old", b"new")
        await SIGNED.credentials.verify(posted(CALL, **headers), mapped().source, secrets, None)  # type: ignore[arg-type]

    body = json.dumps(CALL).encode()
    for secret in (b"old", b"new"):
        made = hmac.new(secret, body, "sha256").digest()
        await check(**{"X-Tierwise-Signature": made.hex()})
        await check(**{"X-Hub-Signature-256": f"sha256={made.hex()}"})
        await check(**{"X-Signature": base64.b64encode(made).decode()})
    for wrong in ("", "sha256=", hmac.new(b"other", body, "sha256").hexdigest(), "ü"):
        with pytest.raises(Unverified):
            await check(**{"X-Signature": wrong})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["call", "id", "event"]), inner),
    max_leaves=10,
)


@proof
@given(json_values | st.fixed_dictionaries({"event": st.just("hangup"), "call": json_values}))
def test_no_document_whatever_breaks_it(document: Any) -> None:
    with suppress(Problem):
        items(KEYED, posted(document), mapped())


@proof
@given(st.binary(max_size=40), st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]))
def test_no_bytes_whatever_break_it(content: bytes, media_type: str) -> None:
    with suppress(Problem):
        found = items(KEYED, requested(PATH, content, media_type=media_type), mapped())
        assert not any(isinstance(item, Admitted) for item in found)
