"""What expressions mean, said a second time: plain Python, recursive, for one customer or interaction at a time.

A value is a bool, a number, a text, what JSON an attribute holds, or None: not known.
"""

import math
import operator
import re
from collections.abc import Callable
from typing import Any, Protocol

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
)

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Scope(Protocol):
    """`computed`: the names that are numbers whatever sources send; others may hold anything."""

    @property
    def computed(self) -> frozenset[str]: ...

    def name(self, name: str) -> Any: ...

    def call(self, function: str, signals: tuple[str, ...], window_days: int | None) -> Any: ...


def truth(node: Node, scope: Scope) -> bool:
    """As a condition: what is not known, and what is no truth value, is false."""
    value = evaluate(node, scope)
    return value if isinstance(value, bool) else as_number(value) == 1.0


def number(node: Node, scope: Scope) -> float | None:
    return as_number(evaluate(node, scope))


def as_number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool | int | float) and not math.isnan(value):
        return float(value)
    return None


def evaluate(node: Node, scope: Scope) -> Any:
    match node:
        case Number(value=value) | Days(value=value) | Text(value=value) | Truth(value=value):
            return value
        case Name(name=name):
            return scope.name(name)
        case Call(function=function, arguments=arguments):
            signals = tuple(one.name for one in arguments if isinstance(one, Name))
            windows = [one.value for one in arguments if isinstance(one, Days)]
            return scope.call(function, signals, windows[0] if windows else None)
        case Not(operand=operand):
            return not truth(operand, scope)
        case Logic(operator="and", left=left, right=right):
            return truth(left, scope) and truth(right, scope)
        case Logic(left=left, right=right):
            return truth(left, scope) or truth(right, scope)
        case Arithmetic():
            return _arithmetic(node, scope)
        case Comparison():
            return _compare(node, scope)
        case Between(operand=operand, low=low, high=high):
            lowest, middle, highest = (number(one, scope) for one in (low, operand, high))
            if lowest is None or middle is None or highest is None:
                return False
            return lowest <= middle <= highest
        case In(operand=operand, options=options):
            return _folded(evaluate(operand, scope)) in [_folded(option.value) for option in options]
        case Like(operand=operand, pattern=pattern):
            value = evaluate(operand, scope)
            parts = [re.escape(part) for part in pattern.split("*")]
            return isinstance(value, str) and bool(re.fullmatch(".*".join(parts), value, re.IGNORECASE | re.DOTALL))
    raise AssertionError(f"a node that the reference does not know: {node}")


def _arithmetic(node: Arithmetic, scope: Scope) -> float | None:
    left, right = number(node.left, scope), number(node.right, scope)
    if left is None or right is None or (node.operator == "/" and right == 0):
        return None
    result: float = _OPERATORS[node.operator](left, right)
    return result if math.isfinite(result) else None


def _compare(node: Comparison, scope: Scope) -> bool:
    """Two values that may be texts are compared as they are by = and !=; any others are compared as numbers."""
    left, right = evaluate(node.left, scope), evaluate(node.right, scope)
    if node.operator in ("=", "!=") and _may_be_text(node.left, scope) and _may_be_text(node.right, scope):
        left, right = _folded(left), _folded(right)
    else:
        left, right = as_number(left), as_number(right)
    return left is not None and right is not None and bool(_OPERATORS[node.operator](left, right))


def _may_be_text(node: Node, scope: Scope) -> bool:
    if isinstance(node, Call):
        return node.function == "preferred_channel"
    return isinstance(node, Text) or (isinstance(node, Name) and node.name not in scope.computed)


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
