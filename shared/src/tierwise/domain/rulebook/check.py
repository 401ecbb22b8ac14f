"""Checking an expression before it is used: names, functions, and whether what is compared can be compared.

Units keep days from being compared with money. A number that is written out fits every unit; multiplying and dividing
give a plain number, so that a metric may weigh days against orders on purpose.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import NamedTuple

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


class Unit(StrEnum):
    """What a value is; the words are those of the messages."""

    COUNT = "a count"
    MONEY = "money"
    DAYS = "days"
    NUMBER = "a number"
    TEXT = "a text"
    TRUTH = "a condition"
    ANY = "anything"


class Function(NamedTuple):
    """`signals`: how many it takes, 0 for those built in; `window`: whether a window may, or must, follow them."""

    signals: int
    window: str
    unit: Unit


FUNCTIONS = {
    "count": Function(1, "may", Unit.COUNT),
    "sum": Function(1, "may", Unit.MONEY),
    "days_since": Function(1, "no", Unit.DAYS),
    "days_since_first": Function(1, "no", Unit.DAYS),
    "active_days": Function(1, "may", Unit.DAYS),
    "longest_gap": Function(1, "no", Unit.DAYS),
    "share": Function(2, "may", Unit.NUMBER),
    "trend": Function(1, "must", Unit.NUMBER),
    "channels": Function(0, "must", Unit.COUNT),
    "interests": Function(0, "must", Unit.COUNT),
    "preferred_channel": Function(0, "must", Unit.TEXT),
}

_NUMERIC = frozenset({Unit.COUNT, Unit.MONEY, Unit.DAYS, Unit.NUMBER})


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may name. `names`: the unit of each; None: any name, since properties are not declared, and
    no functions. No `signals`: no functions either. `texts`: the values that a name or function can have, where they
    are known. `groups`: the built-in signals of the functions that take none."""

    names: Mapping[str, Unit] | None
    signals: Collection[str] = ()
    horizon_days: int = 0
    texts: Mapping[str, Collection[str]] = field(default_factory=dict)
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)


class Problem(NamedTuple):
    """`offset`: where in the expression's text."""

    offset: int
    message: str


class Checked(NamedTuple):
    problems: list[Problem]
    signals: set[str]


def check(node: Node, scope: Scope, wanted: Unit) -> Checked:
    """`wanted`: TRUTH of a condition, NUMBER of a metric. `signals` of the answer: those that it asks for."""
    checker = _Checker(scope)
    checker.fits(node, wanted)
    return Checked(checker.problems, checker.signals)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist, with the nearest one that does."""
    near = get_close_matches(name, list(known), n=1)
    return f"unknown {what} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.problems: list[Problem] = []
        self.signals: set[str] = set()

    def fits(self, node: Node, wanted: Unit) -> None:
        found = self._unit(node)
        right = found is wanted or (wanted is Unit.NUMBER and found in _NUMERIC)
        if not right and Unit.ANY not in (found, wanted):
            self._say(node, f"expected {wanted}, found {found}")

    def _say(self, node: Node, message: str) -> None:
        self.problems.append(Problem(node.offset, message))

    def _unit(self, node: Node) -> Unit:
        match node:
            case Number():
                return Unit.NUMBER
            case Days():
                return Unit.DAYS
            case Text():
                return Unit.TEXT
            case Truth():
                return Unit.TRUTH
            case Name():
                return self._name(node)
            case Call():
                return self._call(node)
            case Arithmetic():
                return self._arithmetic(node)
            case Comparison():
                self._alike(node, [node.left, node.right])
                self._known_texts(node.left, [node.right])
            case Between():
                self._alike(node, [node.operand, node.low, node.high])
            case In():
                self._alike(node, [node.operand, *node.options])
                self._known_texts(node.operand, node.options)
            case Like():
                self.fits(node.operand, Unit.TEXT)
            case Not():
                self.fits(node.operand, Unit.TRUTH)
            case Logic():
                self.fits(node.left, Unit.TRUTH)
                self.fits(node.right, Unit.TRUTH)
        return Unit.TRUTH

    def _name(self, node: Name) -> Unit:
        if self._scope.names is None:
            return Unit.ANY
        if node.name not in self._scope.names:
            self._say(node, unknown("attribute or value", node.name, self._scope.names))
            return Unit.ANY
        return self._scope.names[node.name]

    def _call(self, node: Call) -> Unit:
        if not self._scope.signals:
            known = "the properties of one interaction" if self._scope.names is None else "attributes"
            self._say(node, f"no functions here: only {known} are known")
            return Unit.ANY
        function = FUNCTIONS.get(node.function)
        if function is None:
            self._say(node, unknown("function", node.function, FUNCTIONS))
            return Unit.ANY
        self._arguments(node, function)
        return function.unit

    def _arguments(self, node: Call, function: Function) -> None:
        names = [argument for argument in node.arguments if isinstance(argument, Name)]
        windows = [argument for argument in node.arguments if isinstance(argument, Days)]
        allowed = {"no": (0,), "may": (0, 1), "must": (1,)}[function.window]
        in_order = node.arguments == (*names, *windows)
        if len(names) != function.signals or len(windows) not in allowed or not in_order:
            window = {"no": "", "may": "[, 30d]", "must": ", 30d"}[function.window]
            arguments = f"{', '.join(['signal'] * function.signals)}{window}".removeprefix(", ")
            self._say(node, f"write {node.function}({arguments})")
            return
        if function.signals == 0:
            self._built_in(node)
        for name in names:
            self.signals.add(name.name)
            if name.name not in self._scope.signals:
                self._say(name, unknown("signal", name.name, self._scope.signals))
        reach = sum(window.value for window in windows) * (2 if node.function == "trend" else 1)
        if reach > self._scope.horizon_days:
            self._say(
                node,
                f"reaches back {reach} days, past the {self._scope.horizon_days} that are kept (the horizon less 90)",
            )

    def _built_in(self, node: Call) -> None:
        if node.function not in self._scope.groups:
            self._say(node, f"{node.function}() counts what the rulebook lists: list it under interests.values")
        self.signals.update(self._scope.groups.get(node.function, ()))

    def _arithmetic(self, node: Arithmetic) -> Unit:
        units = [self._unit(operand) for operand in (node.left, node.right)]
        for operand, unit in zip((node.left, node.right), units, strict=True):
            if unit not in (*_NUMERIC, Unit.ANY):
                self._say(operand, f"{node.operator} needs numbers, found {unit}")
        if node.operator in "*/":
            return Unit.NUMBER
        named = {unit for unit in units if unit not in (Unit.NUMBER, Unit.ANY)}
        if len(named) > 1:
            self._say(node, f"{units[0]} {node.operator} {units[1]}: weigh them first, such as 0.1 * days_since(...)")
        return named.pop() if len(named) == 1 else Unit.NUMBER

    def _alike(self, node: Node, operands: list[Node]) -> None:
        units = [self._unit(operand) for operand in operands]
        named = {unit for unit in units if unit is not Unit.ANY}
        if Unit.NUMBER in named and named & _NUMERIC - {Unit.NUMBER}:
            named.discard(Unit.NUMBER)
        if len(named) > 1:
            self._say(node, f"{' and '.join(sorted(named))} cannot be compared")

    def _known_texts(self, operand: Node, options: Iterable[Node]) -> None:
        name = operand.name if isinstance(operand, Name) else operand.function if isinstance(operand, Call) else ""
        known = self._scope.texts.get(name)
        if known is not None:
            for option in options:
                if isinstance(option, Text) and option.value not in known:
                    self._say(option, unknown(f"value of {name}", option.value, known))
