"""Writing an expression again from its nodes, with as few parentheses as it needs: the inverse of `parse`."""

from collections.abc import Callable
from typing import Final

import numpy as np

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

_OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _FACTOR = range(7)
"""How tightly a node binds, in the order of the grammar."""

_BINDS: Final[dict[type[Node], int]] = {
    Not: _NOT,
    Comparison: _COMPARISON,
    Between: _COMPARISON,
    In: _COMPARISON,
    Like: _COMPARISON,
}
_OPERATORS: Final = {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT}


def unparse(node: Node, note: Callable[[Node], str] = lambda _: "") -> str:
    """`note`: what to write behind each name and function, such as its value."""
    return _Writer(note).write(node, _OR)


def plain_number(value: float) -> str:
    """The shortest decimal that means this float, without exponent: what the parser reads."""
    return np.format_float_positional(value, trim="-")


class _Writer:
    def __init__(self, note: Callable[[Node], str]) -> None:
        self._note = note

    def write(self, node: Node, binding: int) -> str:
        """In parentheses if the node binds less tightly than its place."""
        text = self._text(node)
        return f"({text})" if _binding(node) < binding else text

    def _text(self, node: Node) -> str:
        match node:
            case Number(value=value):
                return plain_number(value)
            case Days(value=value):
                return f"{value}d"
            case Text(value=text):
                return _quoted(text)
            case Truth(value=holds):
                return "true" if holds else "false"
            case Name(name=name):
                return name + self._note(node)
            case Call():
                return f"{node.function}({', '.join(_argument(one) for one in node.arguments)}){self._note(node)}"
            case Not(operand=In() as held):
                return self._in(held, "not in")
            case Not(operand=operand):
                return f"not {self.write(operand, _NOT)}"
            case _ if _is_negation(node):
                return f"-{self.write(node.right, _FACTOR)}"  # type: ignore[attr-defined]
            case Logic() | Arithmetic():
                binds = _OPERATORS[node.operator]  # the operators associate to the left
                return f"{self.write(node.left, binds)} {node.operator} {self.write(node.right, binds + 1)}"
            case Comparison():
                return f"{self.write(node.left, _SUM)} {node.operator} {self.write(node.right, _SUM)}"
            case Between():
                low, high = self.write(node.low, _SUM), self.write(node.high, _SUM)
                return f"{self.write(node.operand, _SUM)} between {low} and {high}"
            case In():
                return self._in(node, "in")
            case Like(operand=operand, pattern=pattern):
                return f"{self.write(operand, _SUM)} like {_quoted(pattern)}"
        raise TypeError(f"no expression: {node!r}")

    def _in(self, node: In, word: str) -> str:
        return f"{self.write(node.operand, _SUM)} {word} ({', '.join(map(self._text, node.options))})"


def _argument(node: Node) -> str:
    """A signal or a window: neither has a value of its own to note."""
    return unparse(node)


def _binding(node: Node) -> int:
    if isinstance(node, Not) and isinstance(node.operand, In):
        return _COMPARISON
    if _is_negation(node):
        return _FACTOR
    if isinstance(node, Logic | Arithmetic):
        return _OPERATORS[node.operator]
    return _BINDS.get(type(node), _FACTOR)


def _is_negation(node: Node) -> bool:
    """The parser reads `-x` as 0 - x."""
    return (
        isinstance(node, Arithmetic)
        and node.operator == "-"
        and isinstance(node.left, Number)
        and node.left.value == 0.0
    )


def _quoted(text: str) -> str:
    """A literal never has both kinds of quotes."""
    return f"'{text}'" if '"' in text else f'"{text}"'
