"""An expression in the rulebook's language as a condition in SQL, on `customer_facets` as f.

It means what it means in a rulebook: what is not known fits no comparison, and texts compare without regard to upper
and lower case. What a rulebook computes from the ledger (`count(purchase, 30d)`) is not stored by customer in a form
that can be searched, so it is refused, saying so.
"""

from collections.abc import Collection, Mapping
from typing import Final

from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.expressions import (
    Arithmetic,
    Between,
    Call,
    Comparison,
    Days,
    ExpressionError,
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
from tierwise.finding.conditions import ASKED, TOUCHES, Bound, any_tag, column_among, column_known, interest_among

_NUMBERS: Final = {
    "intent": ("f.score", 10.0),
    "tier.score": ("f.tier_score", 100.0),
    "orders": ("f.orders", 1.0),
    "amount": ("f.amount", 100.0),
}
"""Name -> column, and how many of its units are one. No column is ever null."""
_SINCE_SEEN: Final = "days_since_seen"
_TEXTS: Final = {
    "tier": "tier",
    "intent.level": "intent",
    "stage": "stage",
    "preferred_channel": "preferred_channel",
    "acquisition.first": "first_touch",
    "acquisition.last": "last_touch",
    **{name: name for name in (*ASKED, *TOUCHES)},
}
"""Name -> facet."""
_INTEREST: Final = "interest"


def condition_of(node: Node, text: str, rulebook: Rulebook, bound: Bound) -> str:
    """`text`: what was parsed. Raises ExpressionError with line and column: what cannot be asked for, and why."""
    return _Compiler(text, rulebook, bound).condition(node)


class _Compiler:
    def __init__(self, text: str, rulebook: Rulebook, bound: Bound) -> None:
        self._text, self._rulebook, self._bound = text, rulebook, bound
        self._known: Mapping[str, Collection[str]] = {
            "tier": rulebook.tier_names,
            "intent.level": rulebook.level_names,
            "stage": rulebook.stage_names,
        }
        self._tags: dict[str, list[tuple[str, str]]] = {}
        for tag in rulebook.tags:
            values = [(value, f"{tag.family}.{tag.name}:{value}") for value in tag.values]
            self._tags.setdefault(tag.name, []).extend(values)
            self._tags.setdefault(f"{tag.family}.{tag.name}", []).extend(values)

    def condition(self, node: Node) -> str:
        match node:
            case Logic():
                return f"({self.condition(node.left)} {node.operator.upper()} {self.condition(node.right)})"
            case Not():
                return f"(NOT {self.condition(node.operand)})"
            case Truth():
                return "true" if node.value else "false"
            case Comparison():
                return self._comparison(node)
            case Between():
                value, low, high = self._numbers(node.operand, node.low, node.high)
                return f"({value} BETWEEN {low} AND {high})"
            case In():
                return self._in(node)
            case Like():
                return self._like(node)
        raise self._refused(node, "expected a condition: compare it with something")

    def _comparison(self, node: Comparison) -> str:
        left, right = node.left, node.right
        if isinstance(left, Text):
            left, right = right, left
        if not isinstance(right, Text):
            number, other = self._numbers(left, right)
            return f"({number} {_SQL[node.operator]} {other})"
        if node.operator not in ("=", "!="):
            raise self._refused(node, f"texts are compared by = and !=, not by {node.operator}")
        return self._among(left, [right], equal=node.operator == "=")

    def _in(self, node: In) -> str:
        texts = [option for option in node.options if isinstance(option, Text)]
        if len(texts) == len(node.options):
            return self._among(node.operand, texts, equal=True)
        if texts:
            raise self._refused(node, "texts and numbers in one list: no value is both")
        value, *wanted = self._numbers(node.operand, *node.options)
        return f"({value} IN ({', '.join(wanted)}))"

    def _among(self, node: Node, options: list[Text], *, equal: bool) -> str:
        """Whether the node's text is one of these; `equal` false: is known, and none of them."""
        if not isinstance(node, Name):
            raise self._refused(node, "expected the name of a text: tier, stage, region, a tag, ...")
        wanted = [option.value.lower() for option in options]
        if (facet := _TEXTS.get(node.name)) is not None:
            if node.name in self._known:
                self._check(node.name, self._known[node.name], options)
            among = column_among(facet, self._folded_is_one(wanted))
            return among if equal else f"({column_known(facet)} AND NOT {among})"
        if node.name == _INTEREST:
            if not equal:
                raise self._refused(node, 'a customer may have several interests: write not (interest = "...")')
            return interest_among(self._folded_is_one(wanted))
        if (values := self._tags.get(node.name)) is not None:
            self._check(node.name, dict(values), options)
            chosen = sorted({stored for value, stored in values if (value.lower() in wanted) == equal})
            return any_tag(chosen, self._bound)
        raise self._refused_name(node, "text")

    def _like(self, node: Like) -> str:
        if not isinstance(node.operand, Name) or (facet := _TEXTS.get(node.operand.name)) is None:
            raise self._refused(node, f"like takes one of {', '.join(_TEXTS)}")
        escaped = node.pattern.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return column_among(facet, f"lower(value) LIKE {self._bound(escaped.replace('*', '%'), 'text')}")

    def _folded_is_one(self, wanted: list[str]) -> str:
        return f"lower(value) = ANY ({self._bound(wanted, 'text[]')})"

    def _numbers(self, *nodes: Node) -> list[str]:
        """What is compared with each other. A column among constants stands as it is stored and they are in its unit,
        so that no row is calculated with."""
        constants = [_constant(node) for node in nodes]
        [first, *others] = [node for node, constant in zip(nodes, constants, strict=True) if constant is None] or nodes
        if others or not isinstance(first, Name) or first.name not in _NUMBERS:
            return [self._number(node) for node in nodes]
        column, unit = _NUMBERS[first.name]
        # Of 1.1 in tenths there are 11, not 11.000000000000002.
        return [column if one is None else self._bound(round(one * unit, 9), "float8") for one in constants]

    def _number(self, node: Node) -> str:
        if (constant := _constant(node)) is not None:
            return self._bound(constant, "float8")
        match node:
            case Name(name=name) if name in _NUMBERS:
                column, unit = _NUMBERS[name]
                return f"{column} / {unit}::float8"
            case Name(name=name) if name == _SINCE_SEEN:
                zone = self._bound(self._rulebook.days.zone.key, "text")
                return f"((now() AT TIME ZONE {zone})::date - (f.last_seen AT TIME ZONE {zone})::date)::float8"
            case Name():
                raise self._refused_name(node, "number")
            case Call():
                raise self._refused(
                    node, f"{node.function}() is computed from the ledger when classifying and cannot be searched: use "
                    f"a tag of the rulebook, or one of {', '.join((*_NUMBERS, _SINCE_SEEN))}"
                )  # fmt: skip
            case Arithmetic():
                raise self._refused(node, "a filter does not calculate: compare each value with a number")
        raise self._refused(node, f"expected a number or one of {', '.join((*_NUMBERS, _SINCE_SEEN))}")

    def _check(self, name: str, known: Collection[str], options: list[Text]) -> None:
        folded = {value.lower() for value in known}
        for option in options:
            if option.value.lower() not in folded:
                raise self._refused(option, f"{name} is one of {', '.join(known)}")

    def _refused_name(self, node: Name, wanted: str) -> ExpressionError:
        numbers, texts = (*_NUMBERS, _SINCE_SEEN), (*_TEXTS, _INTEREST)
        if node.name in numbers:
            return self._refused(node, f"{node.name} is a number")
        if node.name in texts or node.name in self._tags:
            return self._refused(node, f"{node.name} is a text: compare it by =, in or like with a text in quotes")
        there = numbers if wanted == "number" else (*texts, *sorted(self._tags))
        return self._refused(node, f"{node.name} cannot be searched; as a {wanted} there are {', '.join(there)}")

    def _refused(self, node: Node, message: str) -> ExpressionError:
        return ExpressionError(message, self._text, node.offset)


def _constant(node: Node) -> float | None:
    match node:
        case Number() | Days():
            return float(node.value)
        case Arithmetic(operator="-", left=Number(value=0.0), right=Number(value=value)):
            return -value
    return None


_SQL: Final = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
