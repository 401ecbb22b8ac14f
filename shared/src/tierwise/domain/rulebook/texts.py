"""Conditions that only ask which text an attribute is: `a = "x"` or `a in ("x", "y")`, all of one and the same.

They are one look-up a value, where each would be several passes over the column: a rulebook has dozens of them.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tierwise.domain.rulebook.evaluate import Environment
from tierwise.domain.rulebook.expressions import Comparison, In, Name, Node, Text


def first_text(conditions: tuple[Node, ...], environment: Environment) -> npt.NDArray[np.int64] | None:
    """1 + the index of the first condition that holds, by row, 0 where none does. None: they ask for something else, or
    the values of their nodes are to be kept."""
    if environment.kept is not None or (asked := _asked(conditions)) is None:
        return None
    name, codes = asked
    column = environment.name(name)
    if column.dtype != object:
        return None
    values = column.tolist()
    found = {value: codes.get(value.casefold(), 0) if isinstance(value, str) else 0 for value in set(values)}
    return np.fromiter(map(found.__getitem__, values), np.int64, len(values))


@lru_cache(maxsize=1024)
def _asked(conditions: tuple[Node, ...]) -> tuple[str, Mapping[str, int]] | None:
    codes: dict[str, int] = {}
    names = set()
    for code, condition in enumerate(conditions, start=1):
        match condition:
            case Comparison(operator="=", left=Name(name=name), right=Text(value=text)):
                texts = [text]
            case In(operand=Name(name=name), options=options) if all(isinstance(one, Text) for one in options):
                texts = [str(one.value) for one in options]
            case _:
                return None
        names.add(name)
        for text in texts:
            codes.setdefault(text.casefold(), code)
    return (names.pop(), codes) if len(names) == 1 else None
