"""Conditions that only ask which text something is: `a = "x"` or `a in ("x", "y")`, all of one and the same.

They are one look-up a value, where each would be several passes over the column: a rulebook has dozens of them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.domain.rulebook.evaluate import Environment, each, evaluate
from tierwise.domain.rulebook.expressions import Call, Comparison, In, Name, Node, Text
from tierwise.domain.rulebook.unparse import unparse


class Texts(NamedTuple):
    """What is asked for, and by text, in lower case, 1 + the index of the first condition that it fulfils."""

    operand: Node
    codes: Mapping[str, int]


def first_text(texts: Texts, environment: Environment) -> npt.NDArray[np.int64] | None:
    """1 + the index of the first condition that holds, by row, 0 where none does. None: these are no texts."""
    column = evaluate(texts.operand, environment)
    if column.dtype != object:
        return None
    codes = texts.codes
    return each(column, lambda text: codes.get(text.casefold(), 0) if isinstance(text, str) else 0, np.int64)


def texts_of(conditions: Sequence[Node]) -> Texts | None:
    """None: they ask for something else too."""
    codes: dict[str, int] = {}
    operands: dict[str, Node] = {}
    for code, condition in enumerate(conditions, start=1):
        match condition:
            case Comparison(operator="=", left=Name() | Call() as operand, right=Text(value=text)):
                texts = [text]
            case In(operand=Name() | Call() as operand, options=options) if all(isinstance(o, Text) for o in options):
                texts = [str(one.value) for one in options]
            case _:
                return None
        operands[unparse(operand)] = operand
        for text in texts:
            codes.setdefault(text.casefold(), code)
    return Texts(operands.popitem()[1], codes) if len(operands) == 1 else None
