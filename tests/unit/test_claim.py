import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.domain.claim import Terms, read_claim
from tierwise.domain.interaction import decode
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, BROWSER, Source, Trust
from tierwise.domain.updates import Updates

RECEIVED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "id": "ord-1042",
    "time": "2026-11-20T09:30:00+08:00",
    "channel": "order",
    "type": "purchase",
    "identifiers": {"user_id": "u7", "email": "Li@Example.com"},
    "attributes": {"region": "CN-31", "industry": None, "hobbies": ["go", 7, True]},
    "properties": {"amount": "1299.00", "currency": "CNY", "category": "courses"},
}


def terms(trust: Trust = BACKEND, **others: Any) -> Terms:
    source = Source(id=1, name='the "shop"', trust=trust)
    return Terms(source=source, received=RECEIVED, new_id=lambda: "fresh", **others)


def read(document: object, **others: Any) -> Any:
    raw = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
    return read_claim(raw, terms(**others))


def rejection(document: object, **others: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidInteraction) as caught:
        read(document, **others)
    assert caught.value.detail
    return caught.value.code, caught.value.field


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PLAIN.items() if name not in names}


def test_a_claim_becomes_a_normalised_interaction_and_its_encoding() -> None:
    admitted = read(PLAIN)
    assert decode(admitted.encoded) == admitted.interaction
    assert admitted.recognisable
    interaction = admitted.interaction
    assert (interaction.id, interaction.source) == ("ord-1042", 'the "shop"')
    assert interaction.time == datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
    assert interaction.time.tzinfo is UTC
    assert interaction.identifiers == {"user_id": "u7", "email": "li@example.com"}
    assert interaction.attributes == PLAIN["attributes"] | {"city": "上海", "city_tier": "first"}
    assert interaction.properties == PLAIN["properties"]
    assert interaction.links


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"id": ""}, "invalid_id", "id"),
        ({"id": "x" * 257}, "invalid_id", "id"),
        ({"id": 7}, "invalid_id", "id"),
        ({"time": "2026-11-20T09:30:00"}, "invalid_time", "time"),
        ({"time": "0000-01-01T00:00:00Z"}, "invalid_time", "time"),
        ({"time": "0001-01-01T00:00:00+08:00"}, "invalid_time", "time"),
        ({"time": "1969-12-31T23:59:59Z"}, "invalid_time", "time"),
        ({"time": "9999-12-31T23:59:59-08:00"}, "time_in_future", "time"),
        ({"time": "2026-11-20T13:00:00Z"}, "time_in_future", "time"),
        ({"time": 1763631000}, "invalid_time", "time"),
        ({"channel": "fax"}, "unknown_channel", "channel"),
        ({"channel": None}, "invalid_channel", "channel"),
        ({"type": ""}, "invalid_type", "type"),
        ({"type": "x" * 65}, "invalid_type", "type"),
        ({"type": "Purchase"}, "invalid_type", "type"),
        ({"type": "purchase\n"}, "invalid_type", "type"),
        ({"channel": "crm", "type": "override"}, "override_not_allowed", "type"),
        ({"identifiers": {}}, "missing_identifier", "identifiers"),
        ({"identifiers": None}, "invalid_identifier", "identifiers"),
        ({"identifiers": {"user_id": "u", "shoe_size": "43"}}, "unknown_identifier", "identifiers.shoe_size"),
        ({"identifiers": {"user_id": "u", "crm_id": 7}}, "invalid_identifier", "identifiers.crm_id"),
        ({"identifiers": {"user_id": "x" * 257}}, "invalid_identifier", "identifiers.user_id"),
        ({"identifiers": {"email": "li"}}, "invalid_identifier", "identifiers.email"),
        ({"identifiers": {"phone": "12"}}, "invalid_identifier", "identifiers.phone"),
        ({"attributes": {"address": {"city": "x"}}}, "invalid_attribute", "attributes.address"),
        ({"attributes": {"good": 1, "bad": [[1]]}}, "invalid_attribute", "attributes.bad"),
        ({"attributes": {"n" * 65: 1}}, "invalid_attribute", "attributes"),
        ({"attributes": {str(n): n for n in range(101)}}, "invalid_attribute", "attributes"),
        ({"attributes": {"age": 2**63}}, "invalid_attribute", "attributes.age"),
        ({"updates": {"multiply": {"n": 2}}}, "unknown_field", "updates.multiply"),
        ({"updates": {"add": {"n": "2"}}}, "invalid_update", "updates.add"),
        ({"updates": {"add": {"n": 1e10}}}, "invalid_update", "updates.add"),
        ({"updates": {"append": {"n": [1]}}}, "invalid_update", "updates.append"),
        ({"updates": {"append": {"n": "x"}}}, "invalid_update", "updates.append"),
        ({"updates": {"first": {"n": {}}}}, "invalid_update", "updates.first"),
        ({"updates": {"first": {str(n): n for n in range(101)}}}, "invalid_update", "updates"),
        ({"updates": {"add": {"override.tier": 1}}}, "reserved_attribute", "updates.add.override.tier"),
        ({"updates": {"clear": 1}}, "invalid_update", "updates.clear"),
        ({"properties": [1]}, "invalid_properties", "properties"),
        ({"properties": {"n": 2**63}}, "invalid_properties", "properties.n"),
        ({"properties": {"n": {"m": [2**63]}}}, "number_out_of_range", "properties"),
        ({"properties": {"n": {"m": [-(10**400)]}}}, "number_out_of_range", "properties"),
        ({"properties": {"currency": "cny"}}, "invalid_currency", "properties.currency"),
        ({"properties": {"currency": None}}, "invalid_currency", "properties.currency"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_code_and_field(change: dict[str, Any], code: str, field: str) -> None:
    assert rejection(PLAIN | change) == (code, field)


@pytest.mark.parametrize("name", ["channel", "type"])
def test_channel_and_type_are_required(name: str) -> None:
    assert rejection(without(name)) == (f"missing_{name}", name)


def test_an_unknown_channel_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidInteraction, match="web, email, sms, call"):
        read(PLAIN | {"channel": "fax"})


@pytest.mark.parametrize("amount", ["0", "1299.00", "999999999999.9999", 7, 12.5, 0.1, 999_999_999_999, 100000000000.0])
def test_an_amount_within_bounds_becomes_a_decimal_string(amount: object) -> None:
    assert read(PLAIN | {"properties": {"amount": amount}}).interaction.properties == {"amount": str(amount)}


@pytest.mark.parametrize(
    "amount",
    ["-1", -1, -0.5, "9" * 30, 10**30, 1e30, "1.00001", 0.1 + 0.2, 1e-7, "", "1,299.00", "+1", "1e3", ".5",
     "1.", "٣", None, True, [1], {}],
)  # fmt: skip
def test_an_amount_out_of_bounds_is_refused(amount: object) -> None:
    code, field = rejection(PLAIN | {"properties": {"amount": amount}})
    assert (code, field) in {
        ("invalid_amount", "properties.amount"),
        ("invalid_properties", "properties.amount"),
    }


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b'{"channel": "web"', "invalid_json", None),
        (b"", "invalid_json", None),
        (b"null", "not_an_object", None),
        (b"[]", "not_an_object", None),
        (b'"text"', "not_an_object", None),
        (b'{"properties": {"score": NaN}}', "invalid_number", None),
        (b'{"properties": {"score": -Infinity}}', "invalid_number", None),
        (b'{"properties": {"score": 1e999}}', "number_out_of_range", "properties"),
        (b'{"id": 7, "type": NaN}', "invalid_id", "id"),
        (b'{"id": "\xff"}', "invalid_utf8", None),
        (b'{"id": "a\x00b"}', "invalid_json", None),
        (b'{"id": "\\ud800 "}', "lone_surrogate", "id"),
        (b'{"properties": {"\\udc00 ": 1}}', "lone_surrogate", "properties.\\udc00 "),
        (b'{"properties": {"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}", "too_deep", None),
    ],
)
def test_bytes_that_are_no_json_object_are_told_why(raw: bytes, code: str, field: str | None) -> None:
    assert rejection(raw) == (code, field)


HEAD = '{"id":"1","channel":"web","type":"page_view","identifiers":{"user_id":"u"}'


@pytest.mark.parametrize(
    ("rest", "key"),
    [
        (',"id":"2"}', "id"),
        (',"properties":{"a":1,"a":2}}', "a"),
        (',"properties":{"a":1,"\\u0061":2}}', "a"),
        (',"properties":{"a\\"":1,"a\\"":2}}', 'a"'),
        (',"properties":{"b":"\\u0022\\u0022","a":1,"a":2}}', "a"),
        (',"properties":{"deep":[{"a":1,"a":null}]}}', "a"),
        (',"attributes":{},"attributes":{}}', "attributes"),
        (',"identifiers":{"user_id":"u"}}', "identifiers"),
        (',"updates":{"add":{"a":1,"a":2}}}', "a"),
        (',"updates":{"first":{"region":"CN-31","region":"CN-11"}}}', "region"),
        (',"updates":{"append":{"a":[]},"append":{"a":["x"]}}}', "append"),
        (',"properties":{"amount":1,"amount":2}}', "amount"),
        (',"properties":{"amount":"1","amount":2}}', "amount"),
        (',"properties":{"amount":1,"amount":"2"}}', "amount"),
    ],
)
def test_a_repeated_key_is_refused_by_name(rest: str, key: str) -> None:
    assert rejection((HEAD + rest).encode()) == ("duplicate_key", key)
    assert rejection((HEAD + rest).encode(), trust=Trust(links=False)) == ("duplicate_key", key)


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        (',"properties":{"note":"a\\u0000b"}}', "properties.note"),
        (',"properties":{"a\\u0000b":1}}', "properties.a\\u0000b"),
        (',"attributes":{"list":["x","\\u0000"]}}', "attributes.list[1]"),
    ],
)
def test_a_nul_character_is_refused_where_it_stands(rest: str, field: str) -> None:
    assert rejection((HEAD + rest).encode()) == ("nul_character", field)


@pytest.mark.parametrize(
    "rest",
    [
        ',"properties":{"note":"\\\\u0000 \\\\ \\" \\u0022 \\u4e2d\\/文"}}',
        ',"properties":{"a":{"x":1},"b":{"x":1}}}',
        ',"attributes":{},"properties":null,"time":null}',
        ',"properties":{"amount":12.5,"currency":"CNY"}}',
        ',"properties":{"html":"{[{[{[{[{[{[{[{[{[{["}}',
    ],
)
def test_what_only_looks_suspicious_is_taken(rest: str) -> None:
    raw = (HEAD + rest).encode()
    admitted = read(raw)
    assert decode(admitted.encoded) == admitted.interaction
    note = (json.loads(raw).get("properties") or {}).get("note")
    assert admitted.interaction.properties.get("note") == note


def test_nesting_is_taken_up_to_the_limit_and_no_deeper() -> None:
    def nested(levels: int) -> dict[str, Any]:
        inside: Any = 1
        for _ in range(levels - 2):
            inside = [inside]
        return PLAIN | {"properties": {"a": inside}}

    assert read(nested(16)).interaction.properties
    assert rejection(nested(17)) == ("too_deep", "properties")
    assert rejection(nested(6), depth_max=5) == ("too_deep", "properties")


def test_an_id_is_made_from_the_content_however_it_is_spelt() -> None:
    first = read(without("id"))
    respelt = {
        "type": "purchase",
        "channel": "order",
        "properties": dict(reversed(PLAIN["properties"].items())),
        "attributes": dict(reversed(PLAIN["attributes"].items())),
        "identifiers": {"email": "li@example.com", "user_id": "u7"},
        "time": "2026-11-20T01:30:00Z",
    }
    assert first.recognisable
    assert read(respelt).interaction.id == first.interaction.id
    assert read(respelt | {"type": "cancelled"}).interaction.id != first.interaction.id
    assert read(respelt, content_key=b"k").interaction.id != first.interaction.id


def test_without_id_and_time_each_arrival_counts() -> None:
    admitted = read(without("id", "time"))
    assert not admitted.recognisable
    assert admitted.interaction.id == "fresh"
    assert admitted.interaction.time == RECEIVED


def test_without_time_but_with_id_a_retry_is_known() -> None:
    admitted = read(without("time"))
    assert admitted.recognisable
    assert admitted.interaction.time == RECEIVED


def test_five_minutes_ahead_is_taken_as_a_clock_that_is_off() -> None:
    assert read(PLAIN | {"time": "2026-11-20T12:05:00Z"})
    assert rejection(PLAIN | {"time": "2026-11-20T12:05:00.000001Z"}) == ("time_in_future", "time")


def test_what_is_older_than_the_horizon_is_refused_by_name() -> None:
    old = PLAIN | {"time": "2026-11-10T11:59:59Z"}
    assert read(old).interaction
    assert rejection(old, horizon=timedelta(days=10)) == ("older_than_horizon", "time")
    assert read(PLAIN, horizon=timedelta(days=10)).interaction


def test_kinds_that_the_rulebook_declares_are_known() -> None:
    kinds = frozenset({"user_id", "wechat_openid"})
    identifiers = {"wechat_openid": "oX1"}
    assert read(PLAIN | {"identifiers": identifiers}, kinds=kinds).interaction.identifiers == identifiers


def test_a_source_asserts_only_what_it_is_trusted_with() -> None:
    page = {"channel": "web", "type": "page_view", "identifiers": {"anonymous_id": "a1"}}
    admitted = read(page, trust=BROWSER)
    assert not admitted.interaction.links
    assert rejection(page | {"channel": "order"}, trust=BROWSER) == ("channel_not_allowed", "channel")
    both = page | {"identifiers": {"anonymous_id": "a1", "email": "boss@example.com"}}
    assert rejection(both, trust=BROWSER) == ("identifier_not_allowed", "identifiers.email")
    named = page | {"attributes": {"vip": True}}
    assert rejection(named, trust=BROWSER) == ("attribute_not_allowed", "attributes.vip")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
claims = st.fixed_dictionaries(
    {"channel": st.sampled_from(["web", "order"]), "type": st.just("purchase")},
    optional={
        "id": st.text(max_size=5) | scalars,
        "time": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | scalars,
        "identifiers": st.dictionaries(st.sampled_from(["user_id", "email", "phone", "x"]), st.text(), max_size=3),
        "attributes": documents,
        "properties": documents | st.dictionaries(st.sampled_from(["amount", "currency", "x"]), scalars),
    },
)


@given(claims | documents, st.booleans(), st.booleans())
def test_any_document_is_admitted_or_refused_by_name(document: object, ascii_only: bool, links: bool) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        admitted = read_claim(raw, terms(Trust(links=links, default_region="CN")))
    except InvalidInteraction as error:
        if error.code == "duplicate_key":
            raise
        return
    assert decode(admitted.encoded) == admitted.interaction
    assert isinstance(document, dict)
    expected = dict(document.get("properties") or {})
    if "amount" in expected:
        expected["amount"] = str(expected["amount"])
    assert admitted.interaction.properties == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(InvalidInteraction):
        read(raw)


@given(st.data(), st.binary(max_size=4) | st.sampled_from([b'"', b"[", b"}", b"null", b"NaN", b"\\u0000", b"\\"]))
def test_a_claim_with_bytes_spoilt_is_admitted_or_refused_by_name(data: st.DataObject, noise: bytes) -> None:
    raw = json.dumps(PLAIN).encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 6)))
    try:
        admitted = read_claim(raw[:start] + noise + raw[end:], terms())
    except InvalidInteraction:
        return
    assert decode(admitted.encoded) == admitted.interaction


@given(documents.filter(lambda value: isinstance(value, dict) and bool(value)), st.data(), st.booleans())
def test_a_key_repeated_anywhere_is_found(document: Any, data: st.DataObject, ascii_only: bool) -> None:
    """Each object of the document is written with one of its keys twice, one object at a time."""
    properties = {"p": document}
    raw = json.dumps(PLAIN | {"properties": properties}, ensure_ascii=ascii_only, separators=(",", ":"))
    try:
        read_claim(raw.encode(), terms())
    except (InvalidInteraction, UnicodeEncodeError):
        return  # refused for another reason already
    key = data.draw(st.sampled_from(sorted(document)))
    text = json.dumps(key, ensure_ascii=ascii_only)
    repeated = raw.replace('"p":{', '"p":{' + text + ":0,", 1)
    assert rejection(repeated.encode()) == ("duplicate_key", key[:64])


UPDATES = {"first": {"region": "上海市"}, "add": {"points": 2.5}, "append": {"colours": ["red"]}, "clear": True}


def test_updates_travel_in_normal_form_and_with_what_follows() -> None:
    admitted = read(PLAIN | {"updates": UPDATES})
    assert decode(admitted.encoded) == admitted.interaction
    assert admitted.interaction.updates == Updates(
        first={"region": "CN-31", "city": "上海", "city_tier": "first"},
        add={"points": 2.5},
        append={"colours": ["red"]},
        clear=True,
    )
    assert "updates" not in json.loads(read(PLAIN).encoded)


def test_updates_are_part_of_the_content_that_an_id_is_made_from() -> None:
    every: list[dict[str, Any]] = [{}, {"updates": {}}, {"updates": UPDATES}]
    ids = {read(without("id") | said).interaction.id for said in every}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("updates", "field"),
    [
        ({"first": {"vip": 1}}, "updates.first.vip"),
        ({"add": {"vip": 1}}, "updates.add.vip"),
        ({"append": {"vip": ["x"]}}, "updates.append.vip"),
        ({"clear": True}, "updates.clear"),
    ],
)
def test_a_source_updates_no_more_than_it_may_assert(updates: dict[str, Any], field: str) -> None:
    trust = Trust(attributes=frozenset({"region", "industry", "hobbies"}))
    assert rejection(PLAIN | {"updates": updates}, trust=trust) == ("attribute_not_allowed", field)
    assert read(PLAIN | {"updates": {"add": {"region": 1}}}, trust=trust)
