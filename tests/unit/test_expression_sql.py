"""The rulebook's expressions as conditions in SQL."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.domain.rulebook.expressions import ExpressionError
from tierwise.domain.rulebook.load import default_text, load
from tierwise.domain.rulebook.parse import parse
from tierwise.finding.conditions import Bound
from tierwise.finding.expression_sql import condition_of
from tierwise_profile_api.filters import Asked

RULEBOOK = load(default_text())


def compiled(text: str) -> tuple[str, list[object]]:
    bound = Bound()
    return condition_of(parse(text), text, RULEBOOK, bound), bound.values


def test_what_was_asked_for_is_in_the_parameters_alone() -> None:
    sql, values = compiled("""region = "'; DROP TABLE customers; --" and intent >= 40""")
    assert "DROP" not in sql
    assert "40" not in sql
    assert values == [["'; drop table customers; --"], 400.0]


def test_a_column_is_compared_as_it_is_stored_and_constants_are_in_its_unit() -> None:
    assert compiled("tier.score between 1.1 and 8.7") == (
        "(f.tier_score BETWEEN $1::float8 AND $2::float8)",
        [110, 870],
    )
    assert compiled("intent in (0, 4.35)") == ("(f.score IN ($1::float8, $2::float8))", [0, 43.5])
    assert compiled("intent > tier.score") == ("(f.score / 10.0::float8 > f.tier_score / 100.0::float8)", [])


def test_a_pattern_escapes_what_sql_would_read_in_it() -> None:
    assert compiled('owner like "50%_*\\\\"')[1] == ["50\\%\\_%\\\\\\\\"]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("count(purchase, 30d) > 2", "line 1, column 1", "computed from the ledger"),
        ('stage = "activ"', "line 1, column 9", "stage is one of won_back"),
        ('browsing = "hihg"', "line 1, column 12", "browsing is one of"),
        ("intent = \n high", "line 2, column 2", "high cannot be searched"),
        ("intent + 1 > 2", "line 1, column 8", "does not calculate"),
        ("tier", "line 1, column 1", "expected a condition"),
        ('tier > "B"', "line 1, column 6", "compared by = and !="),
        ("tier = 3", "line 1, column 1", "tier is a text"),
        ('intent = "high"', "line 1, column 1", "intent is a number"),
        ('interest != "books"', "line 1, column 1", "not (interest"),
        ('browsing like "h*"', "line 1, column 10", "like takes one of"),
        ('region in ("CN-31", 3)', "line 1, column 8", "no value is both"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_place_and_reason(text: str, place: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=place) as refused:
        compiled(text)
    assert reason in str(refused.value)


@given(st.text(alphabet="tier intent stage region()=<>!\"'ABC 0123456789.dandornotlike*-+/,\n"))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    try:
        compiled(text)
    except ExpressionError:
        return


GUIDE = Path(__file__).parents[2] / "docs" / "find.md"
EXAMPLES = GUIDE.read_text("utf-8").partition("```text\n")[2].partition("```")[0].splitlines()


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_the_guide_shows_can_be_asked_for(example: str) -> None:
    sql, values = compiled(example)
    assert sql.count("$") >= len(values) > 0


def test_the_guide_names_every_parameter_that_narrows() -> None:
    text = GUIDE.read_text("utf-8")
    assert [field.name for field in fields(Asked) if f"`{field.name}" not in text] == []
