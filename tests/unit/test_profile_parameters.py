"""What the profile API takes as parameters."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise_profile_api.conditional import matches
from tierwise_profile_api.language import negotiated
from tierwise_profile_api.parameters import BadParameter, channels, instant, types


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-20T09:30:00Z", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T09:30:00+08:00", datetime(2026, 11, 20, 1, 30, tzinfo=UTC)),
        ("2026-11-20t09:30:00.25z", datetime(2026, 11, 20, 9, 30, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_a_time_with_a_zone_is_read_as_utc(text: str, meant: datetime) -> None:
    read = instant("from", text)
    assert read == meant
    assert read is not None
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T09:30:00",
        "2026-11-20T09:30:00 08:00",
        "2026-13-20T09:30:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+08:00",
        "9999-12-31T23:59:59-08:00",
        "1700000000",
    ],
)
def test_any_other_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadParameter) as refused:
        instant("to", text)
    assert refused.value.members()["field"] == "to"


@given(st.text())
def test_no_text_breaks_the_reading_of_a_time(text: str) -> None:
    try:
        instant("from", text)
    except BadParameter:
        return


def test_an_unknown_channel_is_answered_with_the_known_ones() -> None:
    assert channels(["web", "call", "web"]) == ["call", "web"]
    with pytest.raises(BadParameter, match="web, email"):
        channels(["wbe"])


@pytest.mark.parametrize("text", ["", "a b", "a\x00", "x" * 65])
def test_a_type_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(BadParameter):
        types([text])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB;q=0.3, ZH;q=0.7", "zh"),
        ("fr, en;q=0.5", "en"),
        ("zh;q=0", "en"),
        ("zh;q=x", "en"),
        ("*", "en"),
    ],
)
def test_the_language_is_the_most_wanted_of_ours(header: str | None, language: str) -> None:
    assert negotiated(header) == language


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_if_none_match_compares_entity_tags(header: str | None, expected: bool) -> None:
    assert matches(header, '"a"') is expected
