"""Explaining rules: the values that the nodes of one customer's expressions had when they were evaluated."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from tierwise.domain.explanation import Rule, Value, Words
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.evaluate import Column, as_numbers, as_truth
from tierwise.domain.rulebook.expressions import Logic, Node
from tierwise.domain.rulebook.unparse import unparse

SEALED: Final = "***"


class Measure(NamedTuple):
    """A name or function of an expression, and its value."""

    node: Node
    value: Value


class _Outline(NamedTuple):
    """An expression's text, and the same cut behind each of its names and functions, `measured`, whose own texts are
    `names`: `pieces` has one more than these."""

    text: str
    pieces: list[str]
    measured: list[Node]
    names: list[str]


@lru_cache(maxsize=8)
def _outlines(_: Rulebook) -> dict[int, _Outline]:
    """By a node's `id`, made as they are asked for. Nodes live as long as their rulebook, which the cache holds."""
    return {}


def _outline_of(node: Node, rulebook: Rulebook) -> _Outline:
    outlines = _outlines(rulebook)
    if (outline := outlines.get(id(node))) is None:
        outline = outlines[id(node)] = _outline(node)
    return outline


def _filled(outline: _Outline, values: Sequence[Value]) -> str:
    """`values`: of its `measured`."""
    notes = [f" [{filled_value(value)}]" for value in values]
    return outline.pieces[0] + "".join(note + piece for note, piece in zip(notes, outline.pieces[1:], strict=True))


def _outline(node: Node) -> _Outline:
    measured: list[Node] = []

    def cut(part: Node) -> str:
        measured.append(part)
        return mark

    text, mark = unparse(node), "\0"
    while mark in text:  # a quoted text may hold anything
        mark += "\0"
    pieces = unparse(node, cut).split(mark)
    return _Outline(text, pieces, measured, [unparse(part) for part in measured])


class Nodes:
    """One customer's values, in the row of columns by the node's `id`, as `History.kept` has them."""

    def __init__(self, kept: Mapping[int, Column], row: int, rulebook: Rulebook) -> None:
        self._kept, self._row, self._rulebook = kept, row, rulebook

    def holds(self, node: Node) -> bool:
        return bool(as_truth(self._at(node))[0])

    def value(self, node: Node) -> Value:
        return plain(self._at(node).tolist()[0])

    def _at(self, node: Node) -> Column:
        return self._kept[id(node)][self._row : self._row + 1]

    def number(self, node: Node) -> float | None:
        """Of a metric; None: not known."""
        number = float(as_numbers(self._at(node))[0])
        return None if math.isnan(number) else number

    def text(self, node: Node) -> str:
        return self._outline(node).text

    def filled(self, node: Node) -> str:
        outline = self._outline(node)
        return _filled(outline, [self.value(part) for part in outline.measured])

    def values(self, node: Node) -> dict[str, Value]:
        """Of the names and functions of an expression, each once, by their text."""
        outline = self._outline(node)
        return {name: self.value(part) for name, part in zip(outline.names, outline.measured, strict=True)}

    def measures(self, node: Node) -> list[Measure]:
        """Likewise, with their nodes."""
        return [Measure(part, self.value(part)) for part in measured_nodes(node, self._rulebook)]

    def _outline(self, node: Node) -> _Outline:
        return _outline_of(node, self._rulebook)

    def rule(self, name: str, label: Words, when: Node) -> Rule:
        holds = self.holds(when)
        return Rule(
            name=name,
            label=label,
            expression=self.text(when),
            filled=self.filled(when),
            holds=holds,
            values=self.values(when),
            failing=[] if holds else [self.filled(part) for part in self.failing(when)],
        )

    def first(self, conditions: Sequence[Node]) -> int | None:
        """The index of the first that holds."""
        return next((index for index, when in enumerate(conditions) if self.holds(when)), None)

    def failing(self, node: Node) -> list[Node]:
        """Of a condition that does not hold, the smallest ones below it for which it does not."""
        if not isinstance(node, Logic):
            return [node]
        if node.operator == "or":
            return [*self.failing(node.left), *self.failing(node.right)]
        return self.failing(node.right if self.holds(node.left) else node.left)


def measured_nodes(node: Node, rulebook: Rulebook) -> list[Node]:
    """The names and functions of an expression of the rulebook, each once, in their order."""
    outline = _outline_of(node, rulebook)
    return list(dict(zip(outline.names, outline.measured, strict=True)).values())


def filled_by(node: Node, measures: Sequence[Measure], rulebook: Rulebook) -> str:
    """The text of an expression with each value in brackets; `measures`: of its `measured_nodes`."""
    outline = _outline_of(node, rulebook)
    values = dict(zip(dict.fromkeys(outline.names), (measure.value for measure in measures), strict=True))
    return _filled(outline, [values[name] for name in outline.names])


def plain(value: object) -> Value:
    """An element of a column as an explanation says it."""
    if isinstance(value, bytes):
        return SEALED
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value
    return value if isinstance(value, str | bool | int) else None


def filled_value(value: Value) -> str:
    """As it stands in the brackets of a filled expression: plain, with at most four decimals; `?`: not known."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else trimmed(value, 4)


def trimmed(value: float, decimals: int) -> str:
    """A number without the zeros at its end."""
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
