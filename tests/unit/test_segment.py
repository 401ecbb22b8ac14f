"""Segment's messages as interactions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.segment import NOW, PATHS, admitted, batch, items, one, rejected, requested
from tierwise.domain.claim import Admitted
from tierwise.domain.match import counts
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BROWSER
from tierwise.problem import Problem, Unauthorized
from tierwise_ingest.body import BodyTooLarge, InvalidBody, UnsupportedMediaType
from tierwise_ingest.formats.segment.format import answer, key_of
from tierwise_ingest.formats.segment.kinds import kind_of
from tierwise_ingest.outcome import LeftOut, Outcome

BIG = 32 * 1024


@pytest.mark.parametrize(
    ("event", "channel", "type_"),
    [
        ("Product Viewed", "web", "product_view"),
        ("product_viewed", "web", "product_view"),
        ("ProductViewed", "web", "product_view"),
        ("Products Searched", "web", "search"),
        ("Product Added", "web", "cart_added"),
        ("Product Removed", "web", "cart_removed"),
        ("Product Added to Wishlist", "web", "favourited"),
        ("Checkout Started", "web", "checkout_started"),
        ("Order Completed", "order", "purchase"),
        ("purchase", "order", "purchase"),
        ("Order Refunded", "order", "refund"),
        ("Order Cancelled", "order", "cancelled"),
        ("Email Delivered", "email", "delivered"),
        ("Email Link Clicked", "email", "clicked"),
        ("Email Marked as Spam", "email", "complained"),
        ("Unsubscribed", "email", "unsubscribed"),
        ("Signed Up", "web", "signup"),
        ("Form Submitted", "web", "form_submitted"),
        ("Live Chat Message Sent", "chat", "message"),
        ("Promotion Clicked", "web", "promotion_clicked"),
        ("Application Opened", "web", "application_opened"),
        ("videoPlaybackStarted", "web", "video_playback_started"),
        ("HTTPRequest Sent!", "web", "custom"),
        ("Cancelled", "web", "cancelled"),
        ("Profile Update", "web", "profile_updated"),
        ("点击购买按钮", "web", "custom"),
        ("3D View", "web", "custom"),
    ],
)
def test_events_of_the_specs_are_the_products_own_and_others_keep_their_names(
    event: str, channel: str, type_: str
) -> None:
    assert kind_of(event)[:2] == (channel, type_)
    interaction = one("track", event=event)
    assert (interaction.channel, interaction.type) == (channel, type_)
    assert counts(interaction)
    assert interaction.properties.get("event") == (event if type_ == "custom" else None)


def test_an_order_has_its_amount_items_and_category() -> None:
    products = [{"sku": "a", "quantity": 2, "category": "books", "name": "Ai"}, {"sku": "b"}]
    order = {"order_id": "o1", "revenue": 30.599999999999998, "total": 36.5, "currency": "cny", "products": products}
    properties = one("track", event="Order Completed", properties=order).properties
    assert (properties["amount"], properties["currency"]) == ("30.6", "CNY")
    assert (properties["items"], properties["category"], properties["order_id"]) == (3, "books", "o1")
    assert one("track", event="Order Refunded", properties={"total": -12}).properties["amount"] == "12"
    assert one("track", event="Order Refunded", properties={"total": "-12.5"}).properties["amount"] == "12.5"
    assert "amount" not in one("track", event="Order Completed").properties


def test_what_is_wrong_is_named_in_the_senders_words() -> None:
    assert rejected("track", event="Order Completed", properties={"revenue": "lots"}) == (
        "invalid_amount",
        "properties.revenue",
    )
    assert rejected("track", event="Order Completed", properties={"total": 1, "currency": "¥"}) == (
        "invalid_currency",
        "properties.currency",
    )
    assert rejected("track", event="Order Refunded", properties={"total": True}) == (
        "invalid_amount",
        "properties.total",
    )
    assert rejected("track") == ("missing_event", "event")
    assert rejected("track", event="E", userId=[1]) == ("invalid_field", "userId")
    assert rejected("track", event="E", userId="") == ("missing_identifier", "userId")
    assert rejected("track", event="E", timestamp="yesterday") == ("invalid_time", "timestamp")
    assert rejected("track", event="E", originalTimestamp="1960-01-01T00:00:00Z") == (
        "invalid_time",
        "originalTimestamp",
    )
    assert rejected("track", event="E", properties={"fine": 1, "big": 1 << 64}) == (
        "number_out_of_range",
        "properties.big",
    )
    assert rejected("track", event="E", messageId="m" * 257) == ("invalid_id", "messageId")
    assert rejected("identify", traits={"email": "nobody"}) == ("invalid_identifier", "traits.email")
    assert rejected("alias", previousId="a1", anonymousId="a2") == ("missing_user_id", "userId")
    assert rejected("alias") == ("missing_previous_id", "previousId")
    (item,) = items(batch({"type": "delete", "userId": "u1"}))
    assert isinstance(item, InvalidInteraction)
    assert (item.code, item.field) == ("unknown_type", "type")


def test_a_page_tells_where_and_whence() -> None:
    context = {
        "page": {"path": "/pricing", "title": "Prices", "referrer": "https://www.baidu.com/", "url": "https://s.cn/p"},
        "campaign": {"name": "autumn", "source": "newsletter", "medium": "email"},
        "ip": "203.0.113.7",
        "userAgent": "Mozilla/5.0",
    }
    page = one("page", name="Pricing", properties={"plan": "team"}, context=context)
    assert (page.channel, page.type) == ("web", "page_view")
    assert page.properties == {
        "plan": "team",
        "path": "/pricing",
        "title": "Prices",
        "referrer": "https://www.baidu.com/",
        "url": "https://s.cn/p",
        "page_name": "Pricing",
        "utm_campaign": "autumn",
        "utm_source": "newsletter",
        "utm_medium": "email",
    }
    click = one("track", event="Button Clicked", context=context)
    assert click.properties["path"] == "/pricing"
    assert click.properties["utm_medium"] == "email"
    bare = one("page", properties={"url": "https://s.cn/docs/start?utm_source=bing&gclid=x1&q=1"})
    assert bare.properties["path"] == "/docs/start"
    assert (bare.properties["utm_source"], bare.properties["gclid"]) == ("bing", "x1")
    screen = one("screen", name="Cart")
    assert (screen.type, screen.properties) == ("page_view", {"title": "Cart", "page_name": "Cart", "screen": "Cart"})


def test_a_products_name_is_not_taken_for_a_persons() -> None:
    viewed = one("track", event="Product Viewed", properties={"name": "Monopoly", "product_id": "p1"})
    assert viewed.properties == {"product_name": "Monopoly", "product_id": "p1", "sku": "p1"}


def test_identify_brings_attributes_and_identifiers_and_does_not_count() -> None:
    traits = {
        "email": "Li@Example.com",
        "phone": "13800138000",
        "firstName": "Li",
        "title": "CEO",
        "birthday": "1990-05-01",
        "address": {"city": "上海", "street": "Nanjing Rd 1"},
        "company": {"name": "Example", "employee_count": 120},
        "tags": ["a", "b"],
        "devices": [{"os": "ios"}],
        "nickname": None,
    }
    interaction = one("identify", userId=7, anonymousId="a1", traits=traits)
    assert not counts(interaction)
    assert interaction.identifiers == {
        "user_id": "7",
        "anonymous_id": "a1",
        "email": "li@example.com",
        "phone": "+8613800138000",
    }
    attributes = interaction.attributes
    assert attributes.items() >= {"first_name": "Li", "title": "CEO", "street": "Nanjing Rd 1"}.items()
    assert (attributes["city"], attributes["region"], attributes["birth_year"]) == ("上海", "CN-31", 1990)
    assert (attributes["company"], attributes["company_size"]) == ("Example", "small")
    assert (attributes["tags"], attributes["devices"], attributes["nickname"]) == (["a", "b"], '[{"os":"ios"}]', None)
    assert not {"email", "phone"} & attributes.keys()
    assert interaction.properties == {"verb": "identify"}


def test_traits_in_the_context_are_identifys_too_and_elsewhere_only_identify() -> None:
    context = {"traits": {"email": "li@example.com", "plan": "team"}}
    identify = one("identify", context=context)
    assert (identify.identifiers["email"], identify.attributes) == ("li@example.com", {"plan": "team"})
    track = one("track", event="E", context=context)
    assert (track.identifiers["email"], track.attributes) == ("li@example.com", {})


def test_what_is_beside_the_point_and_wrong_is_left_out_and_told() -> None:
    found = admitted("track", event="E", properties={"currency": "gold"}, context={"traits": {"email": "n/a"}})
    assert set(found.left_out) == {"context.traits.email", "properties.currency"}
    assert (found.interaction.identifiers, found.interaction.properties) == ({"user_id": "u1"}, {})
    long = admitted("identify", traits={"bio": "x" * 1025, "acquisition.first": "me", "plan": "team"})
    assert set(long.left_out) == {"traits.bio", "traits.acquisition.first"}
    assert long.interaction.attributes == {"plan": "team"}


def test_group_tells_of_the_company_and_its_address_is_not_the_persons() -> None:
    traits = {
        "name": "Example",
        "industry": "教育",
        "employees": 50,
        "email": "info@example.com",
        "plan": {"name": "x"},
    }
    interaction = one("group", groupId="g1", traits=traits)
    assert interaction.identifiers == {"user_id": "u1"}
    assert interaction.attributes.items() >= {"company": "Example", "company_id": "g1", "industry": "education"}.items()
    assert interaction.attributes["company.email"] == "info@example.com"
    assert interaction.attributes["company.plan.name"] == "x"
    assert not counts(interaction)


def test_alias_ties_the_id_from_before_to_the_user() -> None:
    interaction = one("alias", userId="u1", previousId="a1")
    assert (interaction.identifiers, interaction.links) == ({"user_id": "u1", "anonymous_id": "a1"}, True)


def test_a_key_that_stands_in_a_page_asserts_no_identity_and_no_trait() -> None:
    traits = {"email": "boss@example.com", "vip": True}
    found = admitted("identify", trust=BROWSER, anonymousId="a1", userId="u1", traits=traits)
    assert found.interaction.identifiers == {"anonymous_id": "a1"}
    assert (found.interaction.attributes, found.interaction.links) == ({}, False)
    assert set(found.left_out) == {"userId", "traits.email", "traits.vip"}
    alias = admitted("alias", trust=BROWSER, userId="boss", previousId="a1")
    assert (alias.interaction.identifiers, alias.interaction.links) == ({"anonymous_id": "a1"}, False)
    assert rejected("track", trust=BROWSER, event="E", userId="u1") == ("identifier_not_allowed", "userId")
    assert rejected("track", trust=BROWSER, event="Order Completed", anonymousId="a1") == (
        "channel_not_allowed",
        "event",
    )


def test_a_clock_that_is_wrong_is_put_right() -> None:
    far: dict[str, Any] = {"timestamp": "2099-01-01T00:00:00.000Z", "sentAt": "2099-01-01T00:00:30.000Z"}
    assert abs(one("track", event="E", **far).time - NOW) <= timedelta(minutes=1)
    behind: dict[str, Any] = {"timestamp": "2026-11-19T00:00:00Z", "sentAt": "2026-11-19T03:00:00Z"}
    assert one("track", event="E", **behind).time == NOW - timedelta(hours=3)
    assert one("track", event="E", timestamp="2099-01-01T00:00:00Z").time == NOW
    beyond: dict[str, Any] = {"timestamp": "9999-12-31T23:59:59Z", "sentAt": "0001-01-01T00:00:00Z"}
    assert rejected("track", event="E", **beyond) == ("invalid_time", "timestamp")
    assert one("track", event="E").time == NOW
    relayed: dict[str, Any] = {"timestamp": "2026-11-20T01:00:00Z", "originalTimestamp": "2026-11-20T00:30:00+00:00"}
    assert one("track", event="E", **relayed).time == datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
    naive = one("track", event="E", timestamp="2026-11-20T01:00:00")
    assert naive.time == datetime(2026, 11, 20, 1, tzinfo=UTC)
    in_batch = batch({"type": "track", "event": "E", "userId": "u1", "timestamp": far["timestamp"]}, **far)
    (item,) = items(in_batch)
    assert isinstance(item, Admitted)
    assert abs(item.interaction.time - NOW) <= timedelta(minutes=1)


@given(st.integers(0, 25_000), st.integers(0, 25_000), st.integers(-300, 300))
def test_a_retry_says_the_same_time_as_what_it_repeats(first_ms: int, second_ms: int, ahead_minutes: int) -> None:
    """Each attempt has a `sentAt` of its own and takes a while to arrive."""
    happened = NOW + timedelta(minutes=ahead_minutes) - timedelta(hours=6)
    sent = NOW + timedelta(minutes=ahead_minutes)
    times = {
        one(
            "track", event="E", timestamp=happened.isoformat(), sentAt=(sent - timedelta(milliseconds=ms)).isoformat()
        ).time
        for ms in (first_ms, second_ms)
    }
    assert times == {NOW - timedelta(hours=6)}


@pytest.mark.parametrize(
    ("context", "scored"),
    [
        ({}, True),
        ({"consent": {"categoryPreferences": {"Advertising": True, "Functional": False}}}, True),
        ({"consent": {"categoryPreferences": {"Advertising": False, "Functional": True}}}, False),
        ({"consent": {"categoryPreferences": {"cat1": False, "cat2": False}}}, False),
        ({"consent": {"categoryPreferences": {"cat1": True, "cat2": False}}}, True),
        ({"consentManagement": {"allowedConsentIds": ["C0001"], "deniedConsentIds": ["C0002", "C0004"]}}, False),
        ({"consentManagement": {"allowedConsentIds": ["C0004"], "deniedConsentIds": []}}, True),
        ({"consent": "yes", "consentManagement": [1]}, True),
    ],
)
def test_who_refuses_profiling_is_not_scored(context: dict[str, Any], scored: bool) -> None:
    assert one("track", event="E", context=context).scored is scored


def test_a_bad_message_costs_its_neighbours_nothing() -> None:
    good = {"type": "track", "event": "E", "userId": "u1", "messageId": "m1"}
    found = items(batch(good, None, 7, {"type": "track"}, good | {"properties": {"x": "y" * BIG}}, good))
    codes = [item.code if isinstance(item, InvalidInteraction) else "" for item in found]
    assert codes == ["", "not_an_object", "not_an_object", "missing_event", "too_large", ""]
    nan = json.dumps({"batch": [good, good | {"properties": {"x": float("nan"), "y": '"]}'}}, good], "sentAt": "x"})
    found = items(requested("/v1/batch", nan.encode()))
    codes = [item.code if isinstance(item, InvalidInteraction) else "" for item in found]
    assert codes == ["", "invalid_number", ""]


def test_limits_are_segments_and_rudderstacks() -> None:
    message = {"type": "track", "event": "E", "userId": "u1", "properties": {"x": "y" * 30_000}}
    with pytest.raises(BodyTooLarge):
        items(batch(*[message] * 18))
    assert len(items(batch(*[message | {"channel": "server"}] * 18))) == 18
    with pytest.raises(BodyTooLarge):
        items(batch(*[1] * 2_501))


def test_a_body_that_is_none_is_refused_whole() -> None:
    for body in (b"", b" ", b"[]", b'{"batch": 1}', b'{"batch": [', b"{}", b"NaN", b'{"batch": [NaN'):
        with pytest.raises(InvalidBody):
            items(requested("/v1/batch", body))
    with pytest.raises(UnsupportedMediaType):
        items(requested("/v1/track", b"{}", media_type="application/xml"))


def test_the_key_is_in_the_header_or_in_the_body() -> None:
    assert key_of(requested("/v1/track", {"writeKey": "k1"})) == "k1"
    assert key_of(requested("/v1/track", {"writeKey": "k1"}, authorization="Basic azI6")) == "k2"
    for body in (b"", b"{}", b"[1]", b'{"writeKey": 1}', b"\xff"):
        with pytest.raises(Unauthorized):
            key_of(requested("/v1/track", body))


def test_the_answer_is_success_and_says_what_was_not_taken() -> None:
    outcome = Outcome(accepted=2, left_out=[LeftOut(index=1, fields=("userId",))])
    content = json.loads(answer(requested("/v1/batch"), outcome).body)
    assert content["success"] is True
    assert (content["accepted"], content["rejected"]) == (2, 0)
    assert (content["warnings"][0]["indexes"], content["warnings"][0]["fields"]) == ([1], ["userId"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["track", "a@b.cn", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = """
    type messageId userId anonymousId previousId groupId event name category properties traits context
    mergeProperties timestamp originalTimestamp sentAt channel batch writeKey
"""
PARTS = """
    email phone name address company title revenue total value amount currency products category url search path
    page campaign consent consentManagement traits categoryPreferences deniedConsentIds link_url event
"""
members, part_names = st.sampled_from(MEMBERS.split()), st.sampled_from(PARTS.split())
parts = st.dictionaries(part_names, json_values | st.dictionaries(part_names, json_values))
message_like = st.dictionaries(members, json_values | parts) | st.fixed_dictionaries(
    {
        "type": st.sampled_from(["identify", "track", "page", "group", "alias", "merge"]),
        "userId": st.text() | st.integers(),
    },
    optional={
        "event": st.sampled_from(["Order Completed", "Order Refunded", "Product Viewed", "Email Link Clicked"])
        | st.text(),
        "properties": parts,
        "traits": parts,
        "context": parts,
        "timestamp": st.datetimes().map(lambda time: time.isoformat() + "Z"),
        "sentAt": st.datetimes().map(lambda time: time.isoformat() + "Z"),
        "previousId": st.text(),
    },
)
bodies = st.one_of(
    message_like.map(lambda value: json.dumps(value).encode()),
    st.lists(message_like | json_values, max_size=3).map(lambda found: json.dumps({"batch": found}).encode()),
    st.binary(),
    st.binary().map(lambda noise: b'{"batch": [' + noise),
)


@given(st.sampled_from(PATHS), bodies, st.text(max_size=40), st.sampled_from(["application/json", "text/plain", "a/b"]))
def test_nothing_that_is_sent_is_an_error_of_ours(path: str, body: bytes, query: str, media_type: str) -> None:
    try:
        for item in items(
            requested(path, body, query=query, media_type=media_type, anonymousid=query[:3].encode().hex())
        ):
            assert isinstance(item, Admitted | InvalidInteraction)
    except Problem:
        pass
