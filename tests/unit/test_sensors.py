"""Messages of Sensors Analytics' SDKs as interactions."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tests.support.sensors import (
    FORM,
    NOW,
    NOW_MS,
    admitted,
    encoded,
    items,
    one,
    pictured,
    rejected,
    requested,
    sent,
    terms,
)
from tierwise.domain.claim import Admitted
from tierwise.domain.source import BROWSER, Trust
from tierwise.domain.updates import Updates
from tierwise.problem import Problem
from tierwise_ingest.body import BodyTooLarge, InvalidBody, UnsupportedMediaType
from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.formats.sensors.format import SENSORS
from tierwise_ingest.formats.sensors.payload import java_hash
from tierwise_ingest.outcome import Outcome, Rejection
from tierwise_ingest.request import Request

TRACK = {"type": "track", "event": "ViewProduct", "distinct_id": "c1", "time": NOW_MS, "_track_id": 7}


def test_every_way_to_send_says_the_same() -> None:
    data, listed = encoded(TRACK), encoded([TRACK])
    requests = [
        requested({"data": data}),
        requested({"data": data, "gzip": "0", "crc": java_hash(data)}),
        requested({"data": encoded(TRACK, compressed=True), "gzip": "1"}),
        requested({"data_list": listed}),
        requested({"data_list": encoded([TRACK], compressed=True), "gzip": "1"}),
        requested({"data": data, "ext": f"crc={java_hash(data)}"}, media_type="text/plain;charset=UTF-8"),
        requested({"data_list": data}),
        requested(b"data=" + data.encode()),  # its + and / not escaped
        pictured(TRACK),
        requested({"data": data}, method="GET"),
    ]
    found = [items(request) for request in requests]
    assert all(one == found[0] and isinstance(one[0], Admitted) for one in found)


@pytest.mark.parametrize(("text", "expected"), [("a", 97), ("hello", 99162322), ("polygenelubricants", -(1 << 31))])
def test_the_checksum_is_that_of_java(text: str, expected: int) -> None:
    assert java_hash(text) == expected


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, InvalidBody),
        ({"data": "%%%"}, InvalidBody),
        ({"data": encoded(TRACK)[:-8], "crc": java_hash(encoded(TRACK))}, InvalidBody),
        ({"data": encoded(TRACK), "crc": "1"}, InvalidBody),
        ({"data": encoded(TRACK), "gzip": "1"}, InvalidBody),
        ({"data": encoded(TRACK), "gzip": "9"}, InvalidBody),
        ({"data": encoded(b"no JSON")}, InvalidBody),
        ({"data_list": encoded([TRACK] * 101)}, BodyTooLarge),
        ({"data_list": encoded(b" " * 17_000_000, compressed=True), "gzip": "1"}, BodyTooLarge),
    ],
)
def test_what_cannot_be_read_is_refused_whole(fields: dict[str, Any], problem: type[Problem]) -> None:
    with pytest.raises(problem):
        items(requested(fields))


def test_other_media_types_are_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        items(requested({"data": encoded(TRACK)}, media_type="application/json"))


def test_a_bad_message_costs_its_neighbours_nothing() -> None:
    good, bad = json.dumps(TRACK).encode(), b'{"type": "track", "event": NaN}'
    found = items(requested({"data_list": encoded(b"[" + good + b"," + bad + b"," + good + b"]")}))
    assert [isinstance(item, Admitted) for item in found] == [True, False, True]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"distinct_id": "c1"}, {"anonymous_id": "c1"}),
        ({"distinct_id": "u1", "properties": {"$is_login_id": True}}, {"user_id": "u1"}),
        ({"distinct_id": "u1", "login_id": "u1", "anonymous_id": "c1"}, {"user_id": "u1", "anonymous_id": "c1"}),
        (
            {"distinct_id": "u1", "identities": {"$identity_login_id": "u1", "$identity_cookie_id": "c1"}},
            {"user_id": "u1", "anonymous_id": "c1"},
        ),
        (
            {
                "distinct_id": "$identity_email+li@example.com",
                "identities": {"$identity_email": "li@example.com", "$identity_mobile": "13800000000"},
            },
            {"email": "li@example.com", "phone": "+8613800000000"},
        ),
        (
            {
                "distinct_id": "shop_id+7",
                "login_id": "shop_id+7",
                "identities": {"shop_id": "7", "$identity_idfv": "d"},
            },
            {"user_id": "7", "anonymous_id": "d"},
        ),
        ({"distinct_id": 12345}, {"anonymous_id": "12345"}),
    ],
)
def test_whom_it_is_about_is_read_in_every_way(message: dict[str, Any], expected: dict[str, str]) -> None:
    assert one("track", event="x", **message).identifiers == expected


def test_signing_up_ties_the_visitor_to_the_user() -> None:
    found = one("track_signup", event="$SignUp", distinct_id="u1", original_id="c1")
    assert found.identifiers == {"user_id": "u1", "anonymous_id": "c1"}
    assert (found.channel, found.type) == ("web", "signup")


def test_binding_is_a_profile_update_that_ties() -> None:
    identities = {"$identity_login_id": "u1", "$identity_mobile": "13800000000"}
    found = one("track_id_bind", event="$BindID", identities=identities, distinct_id="u1")
    assert found.identifiers == {"user_id": "u1", "phone": "+8613800000000"}
    assert (found.type, found.properties) == ("profile_update", {"verb": "track_id_bind"})


def test_identities_that_mean_nothing_here_are_told() -> None:
    message = TRACK | {"identities": {"$identity_mp_openid": "o1"}}
    assert admitted(message).left_out == ("identities.$identity_mp_openid",)


@pytest.mark.parametrize(
    ("event", "channel", "type_"),
    [
        ("$pageview", "web", "page_view"),
        ("$AppViewScreen", "web", "page_view"),
        ("$WebClick", "web", "web_click"),
        ("$AppStart", "web", "app_start"),
        ("$WebStay", "web", "web_stay"),
        ("ViewProduct", "web", "product_view"),
        ("viewProduct", "web", "product_view"),
        ("AddToShoppingCart", "web", "cart_added"),
        ("PayOrder", "order", "purchase"),
        ("click_banner", "web", "click_banner"),
        ("点击按钮", "web", "custom"),
    ],
)
def test_events_are_of_the_types_that_the_product_knows(event: str, channel: str, type_: str) -> None:
    found = one("track", event=event)
    assert (found.channel, found.type) == (channel, type_)


def test_properties_lose_the_sign_and_those_that_mean_something_are_named_so() -> None:
    found = one(
        "track",
        event="$pageview",
        properties={
            "$url": "https://shop.example/pricing?a=1",
            "$title": "Pricing",
            "$utm_source": "baidu",
            "$event_duration": 12.5,
            "$ip": "1.2.3.4",
            "plan": "pro",
        },
    )
    assert found.properties == {
        "url": "https://shop.example/pricing?a=1",
        "path": "/pricing",
        "title": "Pricing",
        "utm_source": "baidu",
        "duration_s": 12.5,
        "event_duration": 12.5,
        "ip": "1.2.3.4",
        "plan": "pro",
    }


def test_an_order_has_its_amount() -> None:
    found = one("track", event="PayOrder", properties={"order_actual_amount": 99.5, "product_classify": "books"})
    assert found.properties["amount"] == "99.5"
    assert found.properties["category"] == "books"


def test_profiles_become_attributes_and_updates() -> None:
    known = one("profile_set", properties={"$city": "上海", "vip": True, "$is_login_id": False})
    assert known.attributes == {"city": "上海", "vip": True, "region": "CN-31", "city_tier": "first"}
    assert known.type == "profile_update"
    assert one("profile_unset", properties={"vip": True}).attributes == {"vip": None}
    once = one("profile_set_once", properties={"$first_visit_time": "2026-11-20 10:00:00.000"})
    assert once.updates == Updates(first={"first_visit_time": "2026-11-20 10:00:00.000"})
    assert one("profile_increment", properties={"points": 5}).updates == Updates(add={"points": 5})
    assert one("profile_append", properties={"likes": ["a", "b"], "x": "y"}).updates == Updates(
        append={"likes": ["a", "b"], "x": ["y"]}
    )
    assert one("profile_delete").updates == Updates(clear=True)


def test_profile_properties_that_no_attribute_can_hold_are_left_out_and_told() -> None:
    said = {"nested": {"a": 1}, "n" * 65: 1, "override.tier": "A", "city": "上海"}
    found = admitted({"type": "profile_set", "properties": said})
    assert found.interaction.attributes["city"] == "上海"
    assert len(found.left_out) == 3
    assert admitted({"type": "profile_increment", "properties": {"a": "many", "b": 1}}).left_out == ("properties.a",)


def test_the_catalogue_is_ignored() -> None:
    assert items(sent({"type": "item_set", "item_type": "book", "item_id": "1"})) == [Ignored("catalogue")]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "trick"}, ("unknown_type", "type")),
        ({"event": "x"}, ("missing_type", "type")),
        ({"type": "track"}, ("missing_event", "event")),
        ({"type": "track", "event": 7}, ("invalid_field", "event")),
        ({"type": "track", "event": "x", "distinct_id": None}, ("missing_identifier", "distinct_id")),
        ({"type": "track", "event": "x", "time": "soon"}, ("invalid_field", "time")),
        ({"type": "track", "event": "x", "time": 1e300}, ("invalid_time", "time")),
        ({"type": "track", "event": "x", "distinct_id": "x" * 257}, ("invalid_identifier", "distinct_id")),
        (
            {"type": "track", "event": "PayOrder", "properties": {"amount": "lots"}},
            ("invalid_amount", "properties.amount"),
        ),
        ({"type": "track", "event": "x", "properties": {"n": 2**63}}, ("invalid_field", "properties")),
    ],
)
def test_what_is_wrong_is_named_in_the_senders_words(message: dict[str, Any], expected: tuple[str, str]) -> None:
    assert rejected(**message) == expected


def test_a_clock_that_is_wrong_is_put_right_by_when_the_device_sends() -> None:
    ahead = 3_600_000
    found = one("track", event="x", time=NOW_MS + ahead - 60_000, _flush_time=NOW_MS + ahead)
    assert found.time == NOW - timedelta(minutes=1)
    assert one("track", event="x", time=NOW_MS + 10**12).time == NOW
    assert one("track", event="x", time=NOW_MS // 1000).time == NOW
    assert one("track", event="x", time=1_434_556_935_000).time == datetime(2015, 6, 17, 16, 2, 15, tzinfo=UTC)


def ids(*messages: dict[str, Any]) -> list[str]:
    return [item.interaction.id for item in items(sent(*messages)) if isinstance(item, Admitted)]


def test_a_repeat_is_known_by_what_it_says_and_not_by_when_it_is_sent() -> None:
    assert ids(TRACK | {"_flush_time": NOW_MS}) == ids(TRACK | {"_flush_time": NOW_MS + 5_000})
    assert ids(TRACK, TRACK)[0] == ids(TRACK, TRACK)[1]
    assert ids(TRACK) != ids(TRACK | {"_track_id": 8})


def test_what_servers_say_twice_in_one_request_happened_twice() -> None:
    unnumbered = {name: value for name, value in TRACK.items() if name != "_track_id"}
    assert len(set(ids(unnumbered, unnumbered))) == 2
    assert ids(unnumbered, unnumbered) == ids(unnumbered, unnumbered)


def test_without_time_and_number_each_arrival_counts() -> None:
    found = items(sent({"type": "track", "event": "x", "distinct_id": "c1"}))
    assert isinstance(found[0], Admitted)
    assert not found[0].recognisable


def test_a_page_asserts_no_more_than_it_may() -> None:
    signup = {"type": "track_signup", "event": "$SignUp", "distinct_id": "boss", "original_id": "c1"}
    found = admitted(signup, trust=BROWSER)
    assert found.interaction.identifiers == {"anonymous_id": "c1"}
    assert not found.interaction.links
    assert found.left_out == ("distinct_id",)
    for type_ in ("profile_set", "profile_set_once", "profile_increment", "profile_append", "profile_delete"):
        tried = admitted({"type": type_, "properties": {"points": 5, "vip": "yes"}}, trust=BROWSER)
        assert tried.interaction.attributes == {}
        assert tried.interaction.updates is None
        assert tried.left_out
    some = Trust(attributes=frozenset({"points"}))
    half = admitted({"type": "profile_increment", "properties": {"points": 5, "level": 1}}, trust=some)
    assert half.interaction.updates == Updates(add={"points": 5})


def test_a_dry_run_checks_and_keeps_nothing() -> None:
    wrong = {"type": "trick", "distinct_id": "c1"}
    assert items(pictured(TRACK, path="/debug", dry_run="true")) == [Ignored("dry_run")]
    assert isinstance(items(pictured(TRACK, path="/debug", dry_run="false"))[0], Admitted)
    (found,) = items(pictured(wrong, path="/debug", dry_run="true"))
    assert not isinstance(found, Admitted | Ignored)


def answered(path: str, *, method: str = "POST", wrong: bool = False) -> tuple[int, bytes]:
    rejections = [Rejection(index=0, code="unknown_type", field="type", detail="no")] if wrong else []
    response = SENSORS.answer(requested({}, path=path, method=method), Outcome(accepted=1, rejections=rejections))
    return response.status, response.body


def test_each_client_gets_the_answer_that_it_expects() -> None:
    assert answered("/sa")[0] == answered("/sa", wrong=True)[0] == 200
    assert b"unknown_type" in answered("/sa", wrong=True)[1]
    assert answered("/sa.gif", method="GET")[1].startswith(b"GIF89a")
    assert answered("/debug") == (200, b"{}")
    status, body = answered("/debug", wrong=True)
    assert (status, b"unknown_type" in body) == (402, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(["track", "track_signup", "track_id_bind", "profile_set", "profile_append", "profile_increment",
                         "profile_set_once", "profile_unset", "profile_delete", "item_set"])  # fmt: skip
messages = st.fixed_dictionaries(
    {"type": types | json_values},
    optional={
        "event": st.sampled_from(["$pageview", "PayOrder", "SearchProduct", "x"]) | json_values,
        "distinct_id": json_values,
        "original_id": json_values,
        "login_id": json_values,
        "time": st.integers() | st.floats() | json_values,
        "_flush_time": st.integers() | st.floats() | json_values,
        "_track_id": json_values,
        "identities": st.dictionaries(st.sampled_from(["$identity_email", "$identity_mobile", "x"]), json_values),
        "properties": json_values
        | st.dictionaries(st.sampled_from(["$url", "amount", "currency", "$name", "a"]), json_values),
    },
)


@proof
@given(st.lists(messages | json_values, max_size=3))
def test_no_message_whatever_breaks_it(sent_messages: list[Any]) -> None:
    with suppress(InvalidBody):
        items(requested({"data_list": encoded(sent_messages)}))


@proof
@given(st.binary(max_size=60), st.sampled_from(["/sa", "/sa.gif", "/debug"]), st.sampled_from(["GET", "POST"]))
def test_no_bytes_whatever_break_it(content: bytes, path: str, method: str) -> None:
    request = Request(
        method=method,
        url=f"https://in.example{path}",
        parameters={},
        query_string=content,
        headers=[(b"content-type", FORM.encode())],
        body=content,
    )
    with suppress(Problem):
        list(SENSORS.read(request, terms()))
