"""An expression that is written out again means the same."""

from dataclasses import fields, is_dataclass
from random import Random
from typing import Any

import pytest

from tests.support.random_rulebooks import SIGNALS, RandomExpressions
from tierwise.domain.rulebook import Rulebook, load, ready_rulebooks, ready_text
from tierwise.domain.rulebook.evaluate import walk
from tierwise.domain.rulebook.expressions import Node
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.rulebook.unparse import unparse


def shape(node: Any) -> Any:
    """The nodes without their places."""
    if is_dataclass(node):
        values = [shape(getattr(node, field.name)) for field in fields(node) if field.name != "offset"]
        return (type(node).__name__, *values)
    return tuple(map(shape, node)) if isinstance(node, tuple) else node


def conditions(rulebook: Rulebook) -> list[Node]:
    wheres = [one.matcher.where for one in rulebook.signals] + [matcher.where for _, matcher in rulebook.acquisition]
    return [
        *(where for where in wheres if where is not None),
        *(fit.when for fit in rulebook.fit),
        *(stage.when for stage in rulebook.stages),
        *(dimension.metric for dimension in rulebook.dimensions),
        *(condition for tag in rulebook.tags for condition in tag.conditions),
    ]


@pytest.mark.parametrize("name", ready_rulebooks())
def test_every_expression_of_the_ready_rulebooks_comes_back(name: str) -> None:
    for condition in conditions(load(ready_text(name))):
        assert shape(parse(unparse(condition))) == shape(condition)


def test_random_expressions_come_back() -> None:
    random = Random(11)
    expressions = RandomExpressions(random, sorted(SIGNALS), ("intent", "stage", "tier", "tier.score"))
    for _ in range(2_000):
        node = parse(random.choice([expressions.condition, expressions.number])(4))
        again = unparse(node)
        assert shape(parse(again)) == shape(node), again


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("((a)) and (b and c)", "a and (b and c)"),
        ("not (a or b)", "not (a or b)"),
        ("not a in (1, 2)", "a not in (1, 2)"),
        ("a - (b - c) - d", "a - (b - c) - d"),
        ("-(a + b) * 2", "-(a + b) * 2"),
        ("1 + - -x", "1 + --x"),
        ("a between 1 + 2 and 3 and b", "a between 1 + 2 and 3 and b"),
        ("(a = 1) = true", "(a = 1) = true"),
        ("a = 'say \"yes\"'", "a = 'say \"yes\"'"),
        ("a like '*x*'", 'a like "*x*"'),
        ("0.00001 * 100000000000000000", "0.00001 * 100000000000000000"),
        ("count( s ,30d )>1", "count(s, 30d) > 1"),
    ],
)
def test_it_has_the_parentheses_that_it_needs_and_no_others(written: str, text: str) -> None:
    assert unparse(parse(written)) == text
    assert shape(parse(text)) == shape(parse(written))


def test_a_note_stands_behind_names_and_functions_but_not_inside_of_them() -> None:
    node = parse("2 * count(s, 30d) + city_tier >= 3")
    assert unparse(node, lambda _: " [7]") == "2 * count(s, 30d) [7] + city_tier [7] >= 3"
    assert len(walk(node)) == 9
