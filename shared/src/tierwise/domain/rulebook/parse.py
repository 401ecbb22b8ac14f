"""Parsing the rulebook's expressions.

expression  = and-terms joined by `or`; terms joined by `and`; `not` term
comparison  = sum [(= != < <= > >=) sum | between sum and sum | [not] in (literal, ...) | like "a*b"]
sum         = products joined by + or -; product = factors joined by * or /
factor      = number | 30d | "text" | true | false | name | function(argument, ...) | (expression) | -factor
"""

import re
from dataclasses import dataclass
from typing import NoReturn

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
    children,
)

NODES_MAX = 500
DEPTH_MAX = 40
"""Of parentheses and arguments."""

TREE_MAX = 100
"""Of the tree, in which `a or b or c` is three deep: evaluating it takes a few frames of Python's stack a level."""

DIGITS_MAX = 18

_TOKEN = re.compile(
    r"\s*(?:(?P<days>\d+d\b)|(?P<number>\d+(?:\.\d+)?)|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<name>[^\W\d][\w]*(?:\.[^\W\d]\w*)*)|(?P<symbol><=|>=|!=|[-+*/()=<>,]))"
)
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def parse(text: str) -> Node:
    """Raises ExpressionError with the place and what was expected there."""
    return _Parser(text).whole()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        if len(tokens) > NODES_MAX:
            raise ExpressionError(f"longer than {NODES_MAX} words: split it up", text, at)
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"{text[at]!r} has no meaning here", text, at)
        kind = str(match.lastgroup)
        if kind in ("days", "number") and len(match[kind]) > DIGITS_MAX:
            raise ExpressionError(f"a number of more than {DIGITS_MAX} digits", text, match.start(kind))
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    tokens.append(_Token("end", "the end", len(text)))
    return tokens


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._or()
        if self._next.kind != "end":
            self._expected("and, or, a comparison or the end")
        if (deep := _too_deep(node)) is not None:
            raise ExpressionError(f"nested deeper than {TREE_MAX}", self._text, deep.offset)
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _expected(self, what: str) -> NoReturn:
        found = "the end" if self._next.kind == "end" else repr(self._next.text)
        raise ExpressionError(f"expected {what}, found {found}", self._text, self._next.offset)

    def _take(self, *texts: str) -> _Token | None:
        token = self._next
        if token.kind in ("name", "symbol") and token.text in texts:
            self._at += 1
            return token
        return None

    def _need(self, text: str) -> _Token:
        return self._take(text) or self._expected(repr(text))

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ExpressionError(f"nested deeper than {DEPTH_MAX}", self._text, self._next.offset)
        node = self._and()
        while token := self._take("or"):
            node = Logic(token.offset, "or", node, self._and())
        self._depth -= 1
        return node

    def _and(self) -> Node:
        node = self._not()
        while token := self._take("and"):
            node = Logic(token.offset, "and", node, self._not())
        return node

    def _not(self) -> Node:
        negations = []
        while token := self._take("not"):
            negations.append(token.offset)
        node = self._comparison()
        for offset in reversed(negations):
            node = Not(offset, node)
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        token = self._next
        if token.kind == "symbol" and token.text in _COMPARISONS:
            self._at += 1
            return Comparison(token.offset, token.text, left, self._sum())
        if self._take("between"):
            low = self._sum()
            self._need("and")
            return Between(token.offset, left, low, self._sum())
        if self._take("like"):
            return Like(token.offset, left, self._literal_text())
        if self._take("not"):
            self._need("in")
            return Not(token.offset, In(token.offset, left, self._options()))
        if self._take("in"):
            return In(token.offset, left, self._options())
        return left

    def _options(self) -> tuple[Number | Text, ...]:
        self._need("(")
        options: list[Number | Text] = []
        while True:
            token = self._next
            if token.kind == "text":
                options.append(Text(token.offset, token.text[1:-1]))
            elif token.kind == "number":
                options.append(Number(token.offset, float(token.text)))
            else:
                self._expected("a text in quotes or a number")
            self._at += 1
            if self._take(")"):
                return tuple(options)
            if not self._take(","):
                self._expected("',' or ')'")

    def _literal_text(self) -> str:
        token = self._next
        if token.kind != "text":
            self._expected("a pattern in quotes")
        self._at += 1
        return token.text[1:-1]

    def _sum(self) -> Node:
        node = self._product()
        while token := self._take("+", "-"):
            node = Arithmetic(token.offset, token.text, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._factor()
        while token := self._take("*", "/"):
            node = Arithmetic(token.offset, token.text, node, self._factor())
        return node

    def _factor(self) -> Node:
        minus = []
        while token := self._take("-"):
            minus.append(token.offset)
        node = self._primary()
        for offset in reversed(minus):
            node = Arithmetic(offset, "-", Number(offset, 0.0), node)
        return node

    def _primary(self) -> Node:
        token = self._next
        if self._take("("):
            node = self._or()
            self._need(")")
            return node
        if token.kind in ("symbol", "end") or token.text in ("and", "or", "in", "between", "like"):
            self._expected("a value")
        self._at += 1
        if token.kind == "days":
            return Days(token.offset, int(token.text[:-1]))
        if token.kind == "number":
            return Number(token.offset, float(token.text))
        if token.kind == "text":
            return Text(token.offset, token.text[1:-1])
        if token.text in ("true", "false"):
            return Truth(token.offset, token.text == "true")
        if self._take("("):
            return Call(token.offset, token.text, self._arguments())
        return Name(token.offset, token.text)

    def _arguments(self) -> tuple[Node, ...]:
        if self._take(")"):
            return ()
        arguments = [self._or()]
        while self._take(","):
            arguments.append(self._or())
        self._need(")")
        return tuple(arguments)


def _too_deep(node: Node) -> Node | None:
    """A node deeper than TREE_MAX, if there is one."""
    level = [node]
    for _ in range(TREE_MAX):
        level = [child for one in level for child in children(one)]
    return level[0] if level else None
