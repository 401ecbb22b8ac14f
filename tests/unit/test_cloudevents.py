"""CloudEvents as interactions, in every mode in which they come over HTTP."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tests.support.webhooks import NOW, items, one, rejected, requested, terms
from tierwise.domain.claim import Admitted
from tierwise.domain.source import BROWSER, Trust
from tierwise.domain.updates import Updates
from tierwise.problem import Problem
from tierwise_ingest.body import BodyTooLarge, InvalidBody, UnsupportedMediaType
from tierwise_ingest.formats.cloudevents.format import CLOUDEVENTS
from tierwise_ingest.request import Request

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "ord-1042",
    "source": "/shop",
    "type": "com.example.order.purchase",
    "time": "2026-11-20T09:30:00+08:00",
    "comexamplestore": "west",
    "data": {"user_id": "u7", "amount": 1299, "currency": "CNY", "lines": [{"sku": "a"}]},
}


def structured(event: Any, media_type: str = STRUCTURED) -> Request:
    return requested("/v1/cloudevents", event, media_type=f"{media_type}; charset=utf-8")


def binary(data: bytes, media_type: str | None = "application/json", **attributes: str) -> Request:
    given = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.order.purchase"} | attributes
    headers = {f"ce-{name}": value for name, value in given.items()}
    return requested("/v1/cloudevents", data, media_type=media_type, headers=headers)


def test_an_event_becomes_what_its_type_and_data_say() -> None:
    found = one(CLOUDEVENTS, structured(EVENT))
    assert (found.channel, found.type, found.id) == ("order", "purchase", "/shop ord-1042")
    assert found.time == NOW - timedelta(minutes=30)
    assert found.identifiers == {"user_id": "u7"}
    assert found.properties == {
        "amount": "1299",
        "currency": "CNY",
        "lines": [{"sku": "a"}],
        "comexamplestore": "west",
    }


def test_all_modes_say_the_same() -> None:
    in_headers = binary(
        b'{"user_id": "u7", "amount": 1299, "currency": "CNY", "lines": [{"sku": "a"}]}',
        id="ord-1042",
        time="2026-11-20T09:30:00+08:00",
        comexamplestore="west",
    )
    found = {one(CLOUDEVENTS, request).id for request in (structured(EVENT), in_headers)}
    batched = items(CLOUDEVENTS, structured([EVENT, EVENT | {"id": "2"}], BATCH))
    assert found == {"/shop ord-1042"}
    assert [item.interaction.id for item in batched if isinstance(item, Admitted)] == ["/shop ord-1042", "/shop 2"]
    assert one(CLOUDEVENTS, in_headers) == one(CLOUDEVENTS, structured(EVENT))


def test_a_bad_event_of_a_batch_costs_its_neighbours_nothing() -> None:
    found = items(CLOUDEVENTS, structured([EVENT, {}, 7, EVENT], BATCH))
    assert [isinstance(item, Admitted) for item in found] == [True, False, False, True]


@pytest.mark.parametrize(
    ("type_", "channel", "expected"),
    [
        ("com.example.order.purchase", "order", "purchase"),
        ("com.example.order.purchase.v2", "order", "purchase"),
        ("call.completed", "call", "completed"),
        ("com.example.Email.link-clicked", "email", "link_clicked"),
        ("com.example.OrderCompleted", "order", "purchase"),
        ("com.example.shop.product_viewed", "web", "product_view"),
        ("com.example.user.signedup", "web", "signup"),
        ("com.example.crm.profile_update", "crm", "profile_update"),
        ("例子.下单", "web", "custom"),
    ],
)
def test_the_last_words_of_the_type_are_channel_and_type(type_: str, channel: str, expected: str) -> None:
    found = one(CLOUDEVENTS, structured(EVENT | {"type": type_}))
    assert (found.channel, found.type) == (channel, expected)
    assert (found.properties.get("event") == type_) == (expected == "custom")


def test_native_members_of_the_data_say_it_more_exactly() -> None:
    data = {
        "channel": "call",
        "type": "completed",
        "identifiers": {"phone": "13800138000"},
        "attributes": {"city": "上海"},
        "updates": {"add": {"calls": 1}},
        "properties": {"duration_s": 60},
        "consent": False,
    }
    found = one(CLOUDEVENTS, structured(EVENT | {"data": data}))
    assert (found.channel, found.type, found.scored) == ("call", "completed", False)
    assert found.identifiers == {"phone": "+8613800138000"}
    assert found.attributes["city"] == "上海"
    assert found.updates == Updates(add={"calls": 1})
    assert found.properties["duration_s"] == 60


def test_identifiers_may_be_extension_attributes_or_spelt_as_in_javascript() -> None:
    request = structured(EVENT | {"userid": "u8", "data": {"anonymousId": "a1", "email": "Li@Example.com"}})
    found = one(CLOUDEVENTS, request)
    assert found.identifiers == {"user_id": "u8", "anonymous_id": "a1", "email": "li@example.com"}
    assert "userid" not in found.properties


def test_headers_are_unescaped_as_the_binding_says() -> None:
    found = one(
        CLOUDEVENTS, binary(b'{"user_id": "u7"}', subject="Euro %E2%82%AC %F0%9F%98%80", quoted='"a \\"b\\" 100%25"')
    )
    assert found.properties["subject"] == "Euro € 😀"
    assert found.properties["quoted"] == 'a "b" 100%'
    assert rejected(CLOUDEVENTS, binary(b"{}", subject="%FF%FE"))[0] == "invalid_utf8"


def test_data_that_is_no_object_is_kept_where_it_can_be() -> None:
    said = EVENT | {"userid": "u7"}
    assert one(CLOUDEVENTS, structured(said | {"data": ["a"]})).properties["data"] == ["a"]
    text = structured(said | {"data_base64": "SGk=", "datacontenttype": "text/plain"} | {"data": None})
    assert one(CLOUDEVENTS, text).properties["data"] == "Hi"
    (bytes_,) = items(CLOUDEVENTS, binary(b"\x00\x01", "application/octet-stream", userid="u7"))
    assert isinstance(bytes_, Admitted)
    assert bytes_.left_out == ("data",)
    assert one(CLOUDEVENTS, binary(b"", None, userid="u7")).properties == {}


def test_source_and_id_together_tell_events_apart() -> None:
    found = [
        one(CLOUDEVENTS, structured(EVENT | said)).id
        for said in (
            {},
            {"source": "/other"},
            {"source": "/a b", "id": "c"},
            {"source": "/a", "id": "b c"},
            {"id": "x" * 300},
        )
    ]
    assert len(set(found)) == 5
    assert all(len(id_) <= 256 for id_ in found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"specversion": "0.3"}, ("unknown_specversion", "specversion")),
        ({"specversion": None}, ("invalid_field", "specversion")),
        ({"id": ""}, ("invalid_field", "id")),
        ({"time": "yesterday"}, ("invalid_field", "time")),
        ({"time": "2026-11-20T01:30:00"}, ("invalid_field", "time")),
        ({"data": {}}, ("missing_identifier", "data.identifiers")),
        ({"data": {"user_id": "u", "amount": "lots"}}, ("invalid_amount", "data.amount")),
        ({"data": {"email": "nobody"}}, ("invalid_identifier", "data.email")),
        ({"data": {"user_id": "u", "channel": "fax"}}, ("unknown_channel", "data.channel")),
        ({"data": {"user_id": "u", "attributes": {"a": {}}}}, ("invalid_field", "data.attributes")),
        ({"data": {"user_id": "u", "n": 2**63}}, ("invalid_field", "data")),
        ({"data_base64": "%"}, ("invalid_data", "data_base64")),
        ({"type": "com.example.crm.override"}, ("override_not_allowed", "type")),
    ],
)
def test_what_is_wrong_is_named_in_the_senders_words(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert rejected(CLOUDEVENTS, structured(EVENT | change)) == expected


def test_required_attributes_are_missed_by_name() -> None:
    for name in ("specversion", "id", "source", "type"):
        without = {key: value for key, value in EVENT.items() if key != name}
        assert rejected(CLOUDEVENTS, structured(without)) == (f"missing_{name}", name)


def test_a_source_asserts_no_more_than_it_may() -> None:
    page = terms(trust=BROWSER)
    assert rejected(CLOUDEVENTS, structured(EVENT), page)[0] == "channel_not_allowed"
    told = structured(EVENT | {"data": {"anonymous_id": "a", "channel": "web", "updates": {"add": {"points": 9}}}})
    assert rejected(CLOUDEVENTS, told, page) == ("attribute_not_allowed", "data.updates.add.points")
    assert rejected(CLOUDEVENTS, structured(EVENT), terms(trust=Trust(kinds=frozenset({"email"})))) == (
        "identifier_not_allowed",
        "data.user_id",
    )


def test_what_is_no_event_is_refused_whole() -> None:
    with pytest.raises(InvalidBody):
        items(CLOUDEVENTS, requested("/v1/cloudevents", {}, media_type="application/json"))
    with pytest.raises(UnsupportedMediaType):
        items(CLOUDEVENTS, structured(EVENT, "application/cloudevents+avro"))
    with pytest.raises(InvalidBody):
        items(CLOUDEVENTS, structured(EVENT, BATCH))
    with pytest.raises(BodyTooLarge):
        items(CLOUDEVENTS, structured([EVENT] * 101, BATCH))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
data = json_values | st.dictionaries(
    st.sampled_from(
        ["user_id", "email", "channel", "type", "identifiers", "attributes", "updates", "properties", "amount"]
    ),
    json_values,
)


@proof
@given(st.dictionaries(st.sampled_from([*EVENT, "userid"]), json_values), data, st.sampled_from([STRUCTURED, BATCH]))
def test_no_event_whatever_breaks_it(change: dict[str, Any], said: Any, media_type: str) -> None:
    event = EVENT | change | {"data": said}
    items(CLOUDEVENTS, structured([event] if media_type == BATCH else event, media_type))


@proof
@given(
    st.binary(max_size=50),
    st.text(st.characters(max_codepoint=255), max_size=20),
    st.sampled_from([STRUCTURED, BATCH, None]),
)
def test_no_bytes_whatever_break_it(content: bytes, header: str, media_type: str | None) -> None:
    request = binary(content, media_type)
    request.headers = [*request.headers, (b"ce-subject", header.encode("latin-1"))]
    with suppress(Problem):
        items(CLOUDEVENTS, request)
