"""Flat rows as CSV, JSON and Arrow, read again by others' readers."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise_profile_api.flat import TEXTS, FlatPage, Texts
from tierwise_profile_api.flat_forms import COLUMNS, as_batch, as_csv, as_lines, csv_heading


def page(owners: list[str | None], **columns: Any) -> FlatPage:
    """Customers with these owners, and else alike."""
    many = len(owners)
    none = Texts([None], np.zeros(many, np.intp))
    numbers = {"sequence": 3, "tier_score": 6750, "score": 725, "orders": 2, "amount": 129900}
    moments = {name: np.full(many, "2026-11-22T08:00:00", "datetime64[us]") for name in ("first_seen", "last_seen")}
    return FlatPage(
        last=many,
        customer_ids=[f"c_{number:013}" for number in range(many)],
        numbers={name: np.full(many, columns.get(name, value), np.int64) for name, value in numbers.items()},
        moments=moments | columns.get("moments", {}),
        tags=["behaviour.browsing:high|behaviour.call:answers"] * many,
        interests=["books"] * many,
        texts={**dict.fromkeys(TEXTS, none), "owner": Texts(owners, np.arange(many))},
    )


def rows(found: FlatPage) -> list[dict[str, str]]:
    text = (csv_heading(None) + as_csv(found)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


OWNERS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1)


@given(OWNERS)
def test_whatever_a_text_is_readers_get_it_back(owners: list[str | None]) -> None:
    found = page(owners)
    assert [json.loads(line)["owner"] for line in as_lines(found).split(b"\n")[:-1]] == owners
    assert as_batch(found)["owner"].to_pylist() == owners
    for owner, row in zip(owners, rows(found), strict=True):
        assert list(row) == list(COLUMNS)
        assert row["owner"].removeprefix("'") == (owner or "").removeprefix("'")


@pytest.mark.parametrize("text", ["=1+1", "+49", "-1", "@a", "\ta", "\ra"])
def test_what_a_spreadsheet_would_run_is_a_text_for_it(text: str) -> None:
    assert rows(page([text]))[0]["owner"] == f"'{text}"


@pytest.mark.parametrize(
    ("columns", "field", "shown"),
    [
        ({"tier_score": 6725}, "tier_score", 67.25),
        ({"score": 0}, "intent_score", 0.0),
        ({"amount": -5}, "amount", "-0.05"),
        ({"amount": 10**15}, "amount", "10000000000000.00"),
        ({"moments": {"last_seen": np.array(["2026-11-22T08:00:00.120000"], "datetime64[us]")}}, "last_seen",
         "2026-11-22T08:00:00.120000Z"),
        ({}, "last_seen", "2026-11-22T08:00:00Z"),
    ],
)  # fmt: skip
def test_numbers_and_times_are_written_exactly(columns: dict[str, Any], field: str, shown: Any) -> None:
    found = page(["Li"], **columns)
    assert json.loads(as_lines(found))[field] == shown
    assert rows(found)[0][field] == str(shown)
    assert str(as_batch(found)["amount"][0].as_py()) == rows(found)[0]["amount"]


def test_nobody_is_no_row_in_every_form() -> None:
    found = page([])
    assert (as_csv(found), as_lines(found), as_batch(found).num_rows) == (b"", b"", 0)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_column_has_a_heading_in_every_language(language: str) -> None:
    headings = csv_heading(language).decode("utf-8-sig").strip().split(",")
    assert len(set(headings)) == len(COLUMNS)
