"""Requests in another system's form: what placeholders become, and what no template can do."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.webhooks.document import InvalidSubscription, patched, read_subscription
from tierwise.webhooks.template import HIDDEN, Template, Unaddressable, filled, names_personal_data, read_template

CHANGE = {"aspect": "tier", "from": None, "to": "B", "score": 67.5, "cause": {"kind": "interaction"}}
CUSTOMER = {
    "identifiers": {"crm_id": "003/17"},
    "attributes": {"company.name": "é\u2028课"},
    "tags": {"browsing": "high"},
    "interests": ["courses"],
}
VALUES = {"event": {"id": "c_1:19"}, "change": CHANGE, "customer": CUSTOMER}


def body(template: Any, values: Any = VALUES) -> Any:
    return json.loads(filled("https://crm.example/", read_template({"body": template}), values).body)


def test_a_text_that_is_one_placeholder_becomes_the_value_itself() -> None:
    assert body(
        {
            "Tier": "{{ change.to }}",
            "Before": "{{change.from}}",
            "Score": " {{ change.score }} ",
            "Cause": "{{ change.cause.kind }}",
            "Likes": "{{ customer.interests }}",
            "Company": ["{{ customer.attributes.company.name }}", 1, None],
            "Unknown": "{{ customer.attributes.nothing.there }}",
        }
    ) == {
        "Tier": "B",
        "Before": None,
        "Score": 67.5,
        "Cause": "interaction",
        "Likes": ["courses"],
        "Company": ["é\u2028课", 1, None],
        "Unknown": None,
    }


def test_within_a_text_values_are_written_out() -> None:
    assert body("{{ change.from }}->{{ change.to }} at {{ change.score }}, {{ customer.interests }}") == (
        '->B at 67.5, ["courses"]'
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_breaks_out_of_its_place_in_the_body(value: str) -> None:
    values = {"change": {"to": value}}
    assert body({"a": "{{ change.to }}", "b": "<{{ change.to }}>"}, values) == {"a": value, "b": f"<{value}>"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_breaks_out_of_its_place_in_the_address(value: str) -> None:
    url = "https://crm.example/v1/{{ customer.identifiers.crm_id }}/tier?who={{ customer.identifiers.crm_id }}"
    values = {"customer": {"identifiers": {"crm_id": value}}}
    try:
        made = filled(url, Template("POST", {}, None), values).url
    except Unaddressable:
        assert value in ("", ".", "..")
        return
    parts = urlsplit(made)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "crm.example", "")
    assert [unquote(one, errors="strict") for one in parts.path.split("/")] == ["", "v1", value, "tier"]
    assert parts.query.startswith("who=")
    assert made.isascii()


def test_where_the_address_has_no_value_nothing_is_sent_but_a_test() -> None:
    url, template = "https://crm.example/{{ customer.identifiers.email }}", Template("POST", {}, None)
    with pytest.raises(Unaddressable, match=r"has no customer\.identifiers\.email"):
        filled(url, template, VALUES)
    assert filled(url, template, {"event": {}, "change": {}, "customer": {}}, test=True).url.endswith("/test")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"request": []}, "request"),
        ({"request": {}}, "request.body"),
        ({"request": {"body": 1, "verb": "GET"}}, "request.verb"),
        ({"request": {"body": 1, "method": "GET"}}, "request.method"),
        ({"request": {"body": {"a": ["{{ tier.to }}"]}}}, "request.body.a.0"),
        ({"request": {"body": "{{ change }}"}}, "request.body"),
        ({"request": {"body": "{{ change.too }}"}}, "request.body"),
        ({"request": {"body": "{{ change.to"}}, "request.body"),
        ({"request": {"body": "x" * 20_001}}, "request.body"),
        ({"request": {"body": "\ud800"}}, "request.body"),
        ({"request": {"body": [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]}}, "request.body"),
        ({"request": {"body": 1, "headers": {"Host": "x"}}}, "request.headers.Host"),
        ({"request": {"body": 1, "headers": {"webhook-id": "x"}}}, "request.headers.webhook-id"),
        ({"request": {"body": 1, "headers": {"a b": "x"}}}, "request.headers.a b"),
        ({"request": {"body": 1, "headers": {"a": "x\r\nb: c"}}}, "request.headers.a"),
        ({"request": {"body": 1, "headers": {"a": 1}}}, "request.headers.a"),
        ({"request": {"body": 1}, "url": "https://{{ change.to }}.example/"}, "url"),
        ({"request": {"body": 1}, "url": "{{ change.to }}://crm.example/"}, "url"),
        ({"request": {"body": 1}, "url": "https://crm.example/{{ customer.crm_id }}"}, "url"),
        ({"request": {"body": 1}, "url": "https://crm.example/{{ customer.attributes.\ud800 }}"}, "url"),
        ({"url": "https://crm.example/{{ change.to }}"}, "url"),
    ],
)
def test_a_template_that_cannot_be_is_refused_by_the_name_of_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSubscription) as refused:
        read_subscription({"url": "https://crm.example/"} | given)
    assert refused.value.extra["field"] == field


def test_a_patch_keeps_the_headers_that_it_gives_back_hidden() -> None:
    request = {"headers": {"Authorization": "Bearer 1", "X-Team": "a"}, "body": {"a": 1, "b": 2}}
    held = read_subscription({"url": "https://crm.example/", "request": request})
    changed = patched(held, {"request": {"headers": {"authorization": HIDDEN, "x-team": None, "New": "b"}}}).request
    assert changed == Template("POST", {"authorization": "Bearer 1", "new": "b"}, {"a": 1, "b": 2})
    assert patched(held, {"request": {"body": {"a": None}}}).request == Template("POST", held.request.headers, {"b": 2})  # type: ignore[union-attr]
    assert patched(held, {"request": None}).request is None
    assert patched(held, {"description": "x"}).request == held.request


def test_what_names_identifiers_or_attributes_is_known_to_be_personal() -> None:
    for text, personal in [
        ("{{ customer.identifiers.email }}", True),
        ("{{ customer.attributes.region }}", True),
        ("{{ customer.tier.grade }} {{ change.customer_id }}", False),
    ]:
        template = read_template({"body": {"a": [text]}})
        assert names_personal_data("https://crm.example/", template) is personal
    assert names_personal_data("https://crm.example/{{ customer.identifiers.crm_id }}", Template("PUT", {}, None))
