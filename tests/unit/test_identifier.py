import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.domain.identifier import InvalidIdentifier, normalise


@pytest.mark.parametrize(
    ("given_value", "normal"),
    [
        ("Li.Wei+Shop@Example.COM", "li.wei+shop@example.com"),
        ("  li@example.com ", "li@example.com"),
        ("用户@例子.广告", "用户@例子.广告"),
        ("li@xn--fsqu00a.xn--0zwm56d", "li@例子.测试"),
        ("o'neil@example.ie", "o'neil@example.ie"),
        ("li@mail.internal.example", "li@mail.internal.example"),
    ],
)
def test_email_is_lower_cased_and_in_one_form(given_value: str, normal: str) -> None:
    assert normalise("email", given_value) == normal


@pytest.mark.parametrize(
    "value",
    ["", "li", "li@", "@example.com", "li@host", "li@@example.com", "li..wei@example.com", "a b@example.com",
     ".li@example.com", "li@-example.com", "li@example..com", "l" * 65 + "@example.com",
     "li@" + "a" * 64 + ".com", "li@example.com\nbcc:all@example.com"],
)  # fmt: skip
def test_what_is_no_email_is_refused(value: str) -> None:
    with pytest.raises(InvalidIdentifier):
        normalise("email", value)


@pytest.mark.parametrize(
    ("value", "region", "normal"),
    [
        ("138 0013 8000", "CN", "+8613800138000"),
        ("0086-13800138000", "CN", "+8613800138000"),
        ("+86 138-0013-8000", None, "+8613800138000"),
        ("(010) 6552 9988", "CN", "+861065529988"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("tel:+49-30-901820", "CN", "+4930901820"),
    ],
)
def test_phone_becomes_e164_by_the_default_region(value: str, region: str | None, normal: str) -> None:
    assert normalise("phone", value, default_region=region) == normal


@pytest.mark.parametrize(
    ("value", "region"),
    [("13800138000", None), ("call me", "CN"), ("", "CN"), ("123", "CN"), ("+999 123", "CN"),
     ("+86 10 65529988 ext. 12", "CN")],
)  # fmt: skip
def test_what_is_no_phone_of_one_person_is_refused(value: str, region: str | None) -> None:
    with pytest.raises(InvalidIdentifier):
        normalise("phone", value, default_region=region)


@pytest.mark.parametrize("value", ["", " ", "\t\n", "x" * 257])
def test_other_kinds_are_kept_but_neither_blank_nor_long(value: str) -> None:
    assert normalise("user_id", " U7 ") == " U7 "
    with pytest.raises(InvalidIdentifier):
        normalise("user_id", value)


@given(st.from_regex(r"[A-Za-z0-9._+-]{1,20}@[A-Za-z0-9.-]{1,20}\.[A-Za-z]{2,6}", fullmatch=True) | st.emails())
def test_normalising_an_email_again_changes_nothing(value: str) -> None:
    try:
        normal = normalise("email", value)
    except InvalidIdentifier:
        return
    assert normalise("email", normal) == normal


@given(st.from_regex(r"(\+|00)?[0-9 ()-]{5,18}", fullmatch=True), st.sampled_from(["CN", "US", "DE", "IT", None]))
def test_normalising_a_phone_again_changes_nothing(value: str, region: str | None) -> None:
    try:
        normal = normalise("phone", value, default_region=region)
    except InvalidIdentifier:
        return
    assert normalise("phone", normal, default_region=region) == normal
