"""The rulebook's expressions as trees, each of whose nodes knows where it stands in its text."""

from dataclasses import dataclass, fields


class ExpressionError(ValueError):
    """`line` and `column` count from 1."""

    def __init__(self, message: str, text: str, offset: int) -> None:
        self.line = text.count("\n", 0, offset) + 1
        self.column = offset - text.rfind("\n", 0, offset)
        super().__init__(f"line {self.line}, column {self.column}: {message}")


@dataclass(frozen=True, slots=True)
class Node:
    offset: int


@dataclass(frozen=True, slots=True)
class Number(Node):
    value: float


@dataclass(frozen=True, slots=True)
class Days(Node):
    """A duration, `30d`: whole business days, today included."""

    value: int


@dataclass(frozen=True, slots=True)
class Text(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Truth(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class Name(Node):
    """An attribute, a property, or a value computed before (`intent`, `stage`): dots belong to the name."""

    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not(Node):
    operand: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`operator`: and, or."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """`operator`: + - * /."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`operator`: = != < <= > >=."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Between(Node):
    """Both ends belong to it."""

    operand: Node
    low: Node
    high: Node


@dataclass(frozen=True, slots=True)
class In(Node):
    operand: Node
    options: tuple[Number | Text, ...]


@dataclass(frozen=True, slots=True)
class Like(Node):
    """`*` stands for any run of characters; the rest is literal; upper and lower case are the same."""

    operand: Node
    pattern: str


def children(node: Node) -> list[Node]:
    """The nodes right below it."""
    values = [getattr(node, field.name) for field in fields(node)]
    flat = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
    return [item for item in flat if isinstance(item, Node)]
