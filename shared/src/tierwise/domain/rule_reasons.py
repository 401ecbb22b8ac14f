"""The reasons of stages and tags: the rule that decided, with the values that it looked at.

Only customers who changed need them, and what a rule looks at was computed when it was asked: so values are read off
once for all who moved by the same rule, and stored as a number of the rule and its values. Texts are made from these
when a change is published.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from tierwise.domain.explain_rules import Measure, filled_by, measured_nodes, plain
from tierwise.domain.explain_words import rule_words
from tierwise.domain.history import History
from tierwise.domain.ledger import Ints
from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.evaluate import evaluate
from tierwise.domain.rulebook.expressions import Node

NO_RULE: Final = -1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def pack_rules(
    customers: Ints, rule: Ints, holds: Ints, conditions: Sequence[Node], history: History, rulebook: Rulebook
) -> list[bytes]:
    """Of each of some customers: the index of the rule among the conditions, NO_RULE for b"", whether it holds, and the
    values of its names and functions."""
    packed = [b""] * len(customers)
    for index in np.unique(rule[rule != NO_RULE]).tolist():
        places = np.flatnonzero(rule == index)
        at = customers[places]
        nodes = measured_nodes(conditions[index], rulebook)
        columns = [map(plain, evaluate(node, history)[at].tolist()) for node in nodes]
        for place, held, *values in zip(places.tolist(), holds[places].tolist(), *columns, strict=True):
            packed[place] = _encode([index, held, *values])
    return packed


def rule_reasons(packed: bytes, rules: Sequence[tuple[str, Node]], rulebook: Rulebook) -> list[dict[str, Any]]:
    """`[{"part", "rule", "en", "zh"}]`: the name of the rule that decided, its text with each value in brackets, and
    its values in words. `rules`: the names and conditions that it is one of."""
    if not packed:
        return []
    index, held, *values = _decode(packed)
    name, condition = rules[index]
    nodes = measured_nodes(condition, rulebook)
    measures = [Measure(node, value) for node, value in zip(nodes, values, strict=True)]
    return [
        {"part": name, "rule": filled_by(condition, measures, rulebook), **rule_words(measures, rulebook, holds=held)}
    ]
