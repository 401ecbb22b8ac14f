"""The expression language: what the parser lets pass and what it says; columns give what the reference gives."""

import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof, thorough_proof
from tests.support.reference_expressions import number as expected_number
from tests.support.reference_expressions import truth as expected_truth
from tierwise.domain.rulebook.evaluate import Column, number, truth, walk
from tierwise.domain.rulebook.expressions import ExpressionError, Node
from tierwise.domain.rulebook.parse import DEPTH_MAX, NODES_MAX, parse

WORDS = ["and", "or", "not", "in", "between", "like", "true", "count", "stage", "30d", "7", "1.5", '"a"', "'", "(", ")"]
tokens = st.lists(st.sampled_from([*WORDS, ",", "=", "!=", "<=", "+", "-", "*", "/", "\n", "名字", "$"]), max_size=40)


def parsed(text: str) -> Node | ExpressionError:
    """Anything else that is raised fails the test."""
    try:
        return parse(text)
    except ExpressionError as error:
        return error


@thorough_proof
@given(st.text() | tokens.map(" ".join) | tokens.map("".join))
def test_any_text_is_parsed_or_refused_at_a_place_within_it(text: str) -> None:
    found = parsed(text)
    if isinstance(found, ExpressionError):
        lines = text.split("\n")
        assert 1 <= found.line <= len(lines)
        assert 1 <= found.column <= len(lines[found.line - 1]) + 1
        assert str(found).startswith(f"line {found.line}, column {found.column}: ")
    else:
        assert all(0 <= part.offset <= len(text) for part in walk(found))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: expected a value, found the end"),
        ("count(purchase) >", "line 1, column 18: expected a value, found the end"),
        ("a = 1 b", "line 1, column 7: expected and, or, a comparison or the end, found 'b'"),
        ("a and\n  $", "line 2, column 3: '$' has no meaning here"),
        ("a = 'open", 'line 1, column 5: "\'" has no meaning here'),
        ("(a", "line 1, column 3: expected ')', found the end"),
        ("a between 1 or 2", "line 1, column 13: expected 'and', found 'or'"),
        ("a like b", "line 1, column 8: expected a pattern in quotes, found 'b'"),
        ("a in 1", "line 1, column 6: expected '(', found '1'"),
        ("a in (b)", "line 1, column 7: expected a text in quotes or a number, found 'b'"),
        ("a in (1 2)", "line 1, column 9: expected ',' or ')', found '2'"),
        ("a not like 'b'", "line 1, column 7: expected 'in', found 'like'"),
        ("f(a", "line 1, column 4: expected ')', found the end"),
        ("a = or", "line 1, column 5: expected a value, found 'or'"),
    ],
)
def test_an_error_says_where_it_is_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_nesting_is_bounded() -> None:
    parse("(" * (DEPTH_MAX - 1) + "a" + ")" * (DEPTH_MAX - 1))
    with pytest.raises(ExpressionError, match=f"nested deeper than {DEPTH_MAX}"):
        parse("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)


def test_length_is_bounded() -> None:
    with pytest.raises(ExpressionError, match=f"longer than {NODES_MAX} words"):
        parse("1" + " + 1" * NODES_MAX)


@pytest.mark.parametrize("word", ["not ", "-", "a + ", "a and ", "("])
@pytest.mark.parametrize("times", [30, 240, 480])
def test_what_is_parsed_can_be_evaluated_however_it_is_repeated(word: str, times: int) -> None:
    found = parsed(word * times + "a")
    if not isinstance(found, ExpressionError):
        assert truth(found, Values({"a": [1.0]})).shape == (1,)


@pytest.mark.parametrize("text", ["1" * 5_000 + "d", "1" * 5_000, "count(a, " + "9" * 5_000 + "d)"])
def test_a_number_of_any_length_is_parsed_or_refused(text: str) -> None:
    parsed(text)


class Values:
    """Columns by name, for both evaluators: `hour` is a column of numbers, the others hold anything."""

    computed = frozenset({"hour"})

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns
        self.rows = len(next(iter(columns.values())))
        self.row = 0
        self.kept: dict[int, Column] | None = None

    def column(self, name: str) -> Column:
        column = np.empty(self.rows, object)
        column[:] = self.columns.get(name, [None] * self.rows)
        return column.astype(np.int64) if name == "hour" else column

    def name(self, name: str) -> Any:
        return self.columns[name][self.row] if self.single else self.column(name)

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Any:
        raise AssertionError("no functions here")

    single = False


class Single(Values):
    single = True


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-1e6, 1e6, allow_subnormal=False)
    | st.sampled_from(["a", "A", "ab", "1", "2.5", "-3", "straße", "STRASSE", "", "x*y", "a\nb", 2**53 + 1, 1e300])
)
rows = st.fixed_dictionaries(dict.fromkeys(("a", "b", "p.q"), scalars) | {"hour": st.integers(0, 23)})

leaves = st.sampled_from([
    "a", "b", "p.q", "hour", "0", "1", "2.5", "7d", '"a"', "'AB'", '"2.5"', "true", "false", "1000000.125",
])  # fmt: skip


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    options = st.sampled_from(["'b'", "2.5"])
    operators = st.sampled_from(["+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">=", "and", "or"])
    return (
        st.builds("({} {} {})".format, inner, operators, inner)
        | st.builds("(not {})".format, inner)
        | st.builds("(-{})".format, inner)
        | st.builds("({} between {} and {})".format, inner, inner, inner)
        | st.builds("({} {} ({}, 1, 'a'))".format, inner, st.sampled_from(["in", "not in"]), options)
        | st.builds("({} like {})".format, inner, st.sampled_from(["'a*'", "'*B'", "'a'", "'*'", "''", "'x*y'"]))
    )


expressions = st.recursive(leaves, _wider, max_leaves=12)


@thorough_proof
@given(expressions, st.lists(rows, min_size=1, max_size=6))
def test_columns_give_what_the_reference_gives_row_by_row(text: str, given_rows: list[dict[str, Any]]) -> None:
    node = parse(text)
    columns = {name: [row[name] for row in given_rows] for name in given_rows[0]}
    truths, numbers = truth(node, Values(columns)), number(node, Values(columns))
    for index in range(len(given_rows)):
        one = Single(columns)
        one.row = index
        assert bool(truths[index]) is expected_truth(node, one)
        wanted = expected_number(node, one)
        assert np.isnan(numbers[index]) if wanted is None else numbers[index] == wanted


@proof
@given(expressions, st.lists(rows, min_size=1, max_size=6))
def test_a_row_gives_the_same_alone_and_among_others(text: str, given_rows: list[dict[str, Any]]) -> None:
    node = parse(text)
    together = number(node, Values({name: [row[name] for row in given_rows] for name in given_rows[0]}))
    alone = [number(node, Values({name: [value] for name, value in row.items()})) for row in given_rows]
    assert together.tobytes() == np.concatenate(alone).tobytes()


def holds(text: str, **values: Any) -> bool:
    node: Node = parse(text)
    return bool(truth(node, Values({name: [value] for name, value in values.items()} or {"hour": [0]}))[0])


@pytest.mark.parametrize("text", ["a = 1", "a != 1", "a < 1", "a >= 1", 'a = ""', 'a != "x"', "a between 0 and 9", "a",
                                  'a in ("x")', 'a like "*"', "a / 0 = a / 0", "1 / 0 > 0", "a + 1 > 0"])  # fmt: skip
def test_what_is_not_known_matches_nothing(text: str) -> None:
    assert not holds(text, a=None)


@pytest.mark.parametrize("text", ["not a", "not a = 1", 'a not in ("x")', "not 1 / 0 > 0"])
def test_not_turns_what_is_not_known_into_true(text: str) -> None:
    assert holds(text, a=None)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2 * 3 = 7", True), ("(1 + 2) * 3 = 9", True), ("8 / 4 / 2 = 1", True), ("5 - 3 - 1 = 1", True),
        ("-2 * 3 = -6", True), ("--2 = 2", True), ("true or false and false", True), ("not false and true", True),
        ("not (false and true)", True), ("not true = false", True), ("2 between 2 and 2", True),
        ("3 between 4 and 1", False), ("1 = 1 and not 1 > 1", True), ("30d = 30", True), ("1 < 2", True),
    ],
)  # fmt: skip
def test_operators_bind_as_in_mathematics(text: str, result: bool) -> None:
    assert holds(text) is result


@pytest.mark.parametrize(
    ("text", "value", "result"),
    [
        ('a = "Li"', "LI", True), ('a in ("li", 7)', "Li", True), ("a in (7)", 7, True),
        ('a like "*/pricing*"', "/x/PRICING", True),
        ('a like "a.c"', "abc", False), ('a like "a**c"', "a/\n/c", True), ('a like "a"', "ab", False),
        ("a >= 60", "60", True), ("a >= 60", "sixty", False), ("a", True, True), ("a", "1", True), ("a", "yes", False),
        ("a like '*'", 7, False), ('a = "7"', "7", True), ("a = 7", "7.0", True),
    ],
)  # fmt: skip
def test_properties_compare_as_texts_or_numbers(text: str, value: Any, result: bool) -> None:
    assert holds(text, a=value) is result


def test_a_pattern_with_many_stars_takes_no_longer_than_its_text_and_itself() -> None:
    start = time.process_time()
    assert not holds('a like "*a*a*a*a*a*b"', a="a" * 60)
    assert time.process_time() - start < 0.1


def test_the_ast_knows_the_place_of_every_node() -> None:
    text = 'count(purchase, 30d) >= 2 and not region in ("a",\n "b")'
    places = {type(node).__name__: node.offset for node in reversed(walk(parse(text)))}
    assert text[places["Call"] :].startswith("count")
    assert text[places["Days"] :].startswith("30d")
    assert text[places["Comparison"] :].startswith(">=")
    assert text[places["In"] :].startswith("in")
    assert re.match(r'"a"', text[places["Text"] :])
