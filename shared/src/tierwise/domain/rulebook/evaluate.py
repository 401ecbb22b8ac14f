"""Evaluating an expression over columns: one value a customer (or an interaction), all at once.

Numbers are float64 columns where NaN is "not known", truths are bool columns, texts are object columns where None is
"not known". A comparison with what is not known is false; texts compare without regard to upper and lower case. Every
operation is elementwise, so that a row's result never depends on its neighbours.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tierwise.domain.rulebook.expressions import (
    Arithmetic,
    Between,
    Call,
    Comparison,
    Days,
    In,
    Like,
    Logic,
    Name,
    Node,
    Not,
    Number,
    Text,
    Truth,
    children,
)

Column = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


class Environment(Protocol):
    """What names and functions mean where an expression is evaluated. Columns have `rows` elements.

    `kept`: takes the column of every node that is evaluated, by the node's `id`; None: nobody asks for them.
    """

    rows: int
    kept: dict[int, Column] | None

    def name(self, name: str) -> Column: ...

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Column: ...


def walk(node: Node) -> list[Node]:
    """The node and everything below it."""
    return [node, *(below for child in children(node) for below in walk(child))]


def evaluate(node: Node, environment: Environment) -> Column:
    """The node's column."""
    column = _EVALUATE[type(node)](node, environment)
    if environment.kept is not None:
        environment.kept[id(node)] = column
    return column


def truth(node: Node, environment: Environment) -> npt.NDArray[np.bool_]:
    """The node as a condition: what is not known, and what is no truth value, is false."""
    return as_truth(evaluate(node, environment))


def as_truth(column: Column) -> npt.NDArray[np.bool_]:
    """A node's column as a condition."""
    return column if column.dtype == np.bool_ else as_numbers(column) == 1.0


def number(node: Node, environment: Environment) -> Floats:
    """The node as a number, NaN where it is none."""
    return as_numbers(evaluate(node, environment))


def as_numbers(column: Column) -> Floats:
    """A node's column as numbers, NaN where it is none."""
    if column.dtype != object:
        return column.astype(np.float64, copy=False)
    return each(column, _number, np.float64)


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return np.nan
    return np.nan


def _constant(node: Any, environment: Environment) -> Column:
    if isinstance(node.value, str):
        return np.full(environment.rows, node.value, object)
    return np.full(environment.rows, node.value)


def _name(node: Name, environment: Environment) -> Column:
    return environment.name(node.name)


def _call(node: Call, environment: Environment) -> Column:
    signals = tuple(argument.name for argument in node.arguments if isinstance(argument, Name))
    windows = [argument.value for argument in node.arguments if isinstance(argument, Days)]
    return environment.call(node.function, signals, windows[0] if windows else None)


def _not(node: Not, environment: Environment) -> Column:
    return ~truth(node.operand, environment)


def _logic(node: Logic, environment: Environment) -> Column:
    left, right = truth(node.left, environment), truth(node.right, environment)
    return left & right if node.operator == "and" else left | right


_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
_COMPARE: dict[str, Callable[[Column, Column], Column]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def _arithmetic(node: Arithmetic, environment: Environment) -> Column:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = _ARITHMETIC[node.operator](number(node.left, environment), number(node.right, environment))
    return np.where(np.isfinite(result), result, np.nan)


def _comparison(node: Comparison, environment: Environment) -> Column:
    left = evaluate(node.left, environment)
    if isinstance(node.right, Text) and left.dtype == object and node.operator in ("=", "!="):
        return _is_text(left, node.right.value.casefold(), equal=node.operator == "=")
    right = evaluate(node.right, environment)
    if left.dtype == object and right.dtype == object:
        if node.operator not in ("=", "!="):
            left, right = as_numbers(left), as_numbers(right)
        else:
            return _compare_texts(node.operator, left, right)
    elif left.dtype == object or right.dtype == object:
        left, right = as_numbers(left), as_numbers(right)
    compared: Column = _COMPARE[node.operator](left, right)
    if node.operator == "!=":  # the others are false where a side is NaN
        compared &= ~(np.isnan(left) | np.isnan(right))
    return compared


def _is_text(column: Column, folded: str, *, equal: bool) -> Column:
    """Against one text, which most rules about texts are: a look at each distinct value, and no second column."""
    return each(column, lambda value: value is not None and (_folded(value) == folded) == equal, np.bool_)


def _compare_texts(operator: str, left: Column, right: Column) -> Column:
    equal = operator == "="
    left, right = (each(column, _folded, object) for column in (left, right))
    known = each(left, _is_known, np.bool_) & each(right, _is_known, np.bool_)
    compared: Column = ((left == right) == equal) & known
    return compared


def _is_known(value: object) -> bool:
    return value is not None


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


def _between(node: Between, environment: Environment) -> Column:
    value = number(node.operand, environment)
    return (value >= number(node.low, environment)) & (value <= number(node.high, environment))


def _in(node: In, environment: Environment) -> Column:
    options = frozenset(_folded(option.value) for option in node.options)
    return each(evaluate(node.operand, environment), lambda value: _folded(value) in options, np.bool_)


def _like(node: Like, environment: Environment) -> Column:
    parts = tuple(node.pattern.casefold().split("*"))
    return each(
        evaluate(node.operand, environment),
        lambda value: isinstance(value, str) and _is_like(value.casefold(), parts),
        np.bool_,
    )


def _is_like(text: str, parts: tuple[str, ...]) -> bool:
    """Whether the parts stand in the text, in order, the first at its start and the last at its end. Takes time in
    proportion to both, whatever the pattern, since texts may come from anyone."""
    first, *between = parts
    if not between:
        return text == first
    last = between.pop()
    if not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in between:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def each(column: Column, function: Callable[[Any], object], dtype: npt.DTypeLike) -> Column:
    """The function of each value, asked once for each distinct one: attributes and properties repeat."""
    values = column[:1].tolist() if column.strides == (0,) else column.tolist()  # stride 0: one value for all
    results = {value: function(value) for value in set(values)}
    if len(results) == 1:
        filled = np.empty(len(column), dtype)
        filled[:] = results[values[0]]
        return filled
    return np.fromiter(map(results.__getitem__, values), dtype, len(column))


_EVALUATE: dict[type[Node], Callable[[Any, Environment], Column]] = {
    Number: _constant,
    Days: _constant,
    Text: _constant,
    Truth: _constant,
    Name: _name,
    Call: _call,
    Not: _not,
    Logic: _logic,
    Arithmetic: _arithmetic,
    Comparison: _comparison,
    Between: _between,
    In: _in,
    Like: _like,
}
