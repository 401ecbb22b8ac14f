"""Cursors of lists: opaque, unalterable, of one list only."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.security.personal import PURPOSES, Vault
from tierwise_profile_api.cursor import BadCursor, listing, open_cursor, seal_cursor

VAULT = Vault({purpose: bytes(32) for purpose in PURPOSES})
LISTING = listing("timeline", 7, ["web"])
POSITION = (datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC), bytes(range(16)))


def opened(text: str, of: bytes = LISTING) -> tuple[datetime, bytes]:
    return open_cursor(text, tuple[datetime, bytes], VAULT, of=of)


def test_a_cursor_opens_to_the_position_that_it_was_made_of() -> None:
    cursor = seal_cursor(POSITION, VAULT, of=LISTING)
    assert opened(cursor) == POSITION
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_of_another_list_or_other_filters_is_refused() -> None:
    cursor = seal_cursor(POSITION, VAULT, of=LISTING)
    for other in (listing("changes", 7, ["web"]), listing("timeline", 8, ["web"]), listing("timeline", 7, [])):
        with pytest.raises(BadCursor):
            opened(cursor, of=other)


@given(st.data())
def test_an_altered_cursor_is_refused(data: st.DataObject) -> None:
    cursor = seal_cursor(POSITION, VAULT, of=LISTING)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters(max_codepoint=0x24F).filter(lambda character: character != cursor[place]))
    with pytest.raises(BadCursor):
        opened(cursor[:place] + other + cursor[place + 1 :])


@given(st.text())
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        opened(text)
