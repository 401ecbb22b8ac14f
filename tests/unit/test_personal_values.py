"""Personal values are sealed wherever they stand, come back whole, and are masked for who may not see them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.db.bodies import pack_body, unpack_body
from tierwise.security.personal import NotSealedHere, Vault
from tierwise.security.values import is_personal, mask_identifier, open_values, seal_values

VAULT = Vault({"identifiers": b"i" * 32, "sealing": b"s" * 32, "keys": b"k" * 32})

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("email"), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["region", "email", "Phone Number", "first-name", "items", "姓名"]) | st.text(max_size=8)
values = st.dictionaries(names, json, max_size=6)


@given(values, values)
def test_a_body_gives_back_what_was_packed(attributes: dict[str, Any], properties: dict[str, Any]) -> None:
    body = pack_body(attributes, properties, VAULT)
    assert unpack_body(body, VAULT, masked=False) == (attributes, properties, None, True)
    unpack_body(body, VAULT, masked=True)


@pytest.mark.parametrize(
    "name",
    [
        "email",
        "Email",
        "E-Mail",
        "firstName",
        "first_name",
        "phone number",
        "手机号",
        "ADDRESS",
        "wechat",
        "company.email",
        "address.line1",
    ],
)
def test_names_of_personal_data_are_known_however_written(name: str) -> None:
    assert is_personal(name)


@pytest.mark.parametrize("name", ["region", "industry", "amount", "category", "path", "age", "gender", "campaign"])
def test_other_names_are_not(name: str) -> None:
    assert not is_personal(name)


def test_personal_values_are_not_in_the_bytes() -> None:
    attributes = {"name": "Li Wei", "region": "CN-31", "home": {"email": "li@example.com", "city": "Shanghai"}}
    properties = {"guests": [{"first_name": "Wang"}], "phone": 13800000000}
    body = pack_body(attributes, properties, VAULT)
    for hidden in (b"Li Wei", b"li@example.com", b"Wang", msgspec.msgpack.encode(13800000000)):
        assert hidden not in body
    for shown in (b"CN-31", b"Shanghai"):
        assert shown in body


def test_masked_values_hint_and_do_not_tell() -> None:
    attributes = {"name": "李伟", "email": "li@example.com", "mobile": "+8613800000000", "address": {"street": "x"}}
    body = pack_body(attributes | {"region": "CN-31"}, {"phone": None}, VAULT)
    shown, properties, *_ = unpack_body(body, VAULT, masked=True)
    assert shown == {
        "name": "李***",
        "email": "l***@example.com",
        "mobile": "+86138****0000",
        "address": "***",
        "region": "CN-31",
    }
    assert properties == {"phone": None}


def test_the_name_of_a_product_in_a_list_is_no_personal_data() -> None:
    properties = {"items": [{"name": "Course", "email": "li@example.com"}]}
    sealed = seal_values(properties, VAULT)
    assert sealed["items"][0]["name"] == "Course"
    assert isinstance(sealed["items"][0]["email"], bytes)


def test_values_without_personal_data_stay_the_same_object() -> None:
    plain = {"region": "CN-31", "score": 1.5}
    assert seal_values(plain, VAULT) is plain


def test_a_sealed_value_does_not_open_under_another_name() -> None:
    sealed = seal_values({"email": "li@example.com"}, VAULT)
    with pytest.raises(NotSealedHere):
        open_values({"phone": sealed["email"]}, VAULT, masked=True)


@pytest.mark.parametrize(
    ("kind", "value", "masked"),
    [
        ("email", "li@example.com", "l***@example.com"),
        ("phone", "+8613800000000", "+86138****0000"),
        ("phone", "+4912345", "+4****45"),
        ("user_id", "u7", "u7"),
        ("crm_id", "c-1", "c-1"),
        ("anonymous_id", "a1", "a1"),
        ("wechat_openid", "oX123", "o***"),
        ("email", "", "***"),
    ],
)
def test_identifiers_are_masked_by_kind(kind: str, value: str, masked: str) -> None:
    assert mask_identifier(kind, value) == masked
