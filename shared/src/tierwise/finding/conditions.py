"""Conditions on `customer_facets` as f, whose texts are numbers of `facet_values`; the parameters of statements."""

from collections.abc import Collection, Sequence
from typing import Final

from tierwise.db.facets import ATTRIBUTES, INTEREST, TAG, TEXTS

TOUCHES: Final = ("first_touch", "last_touch")

GROUPS: Final = (*TEXTS, INTEREST)
"""What customers can be counted by, beside `tag:NAME`."""

ASKED: Final = tuple(name for name in ATTRIBUTES if name not in TOUCHES)
"""Of a customer's attributes those that are narrowed by under their own name."""


class Bound:
    """Collects a statement's parameters, after those that it has: from $1 on without any."""

    def __init__(self, values: Sequence[object] = ()) -> None:
        self.values = list(values)

    def __call__(self, value: object, type_: str) -> str:
        """The SQL that stands for the value."""
        self.values.append(value)
        return f"${len(self.values)}::{type_}"


def column_among(facet: str, condition: str) -> str:
    """Whether the facet's value fits a condition on `value`; what is not known fits none."""
    return f"f.{facet} = ANY ({_numbers(facet, condition)})"


def column_known(facet: str) -> str:
    return f"f.{facet} <> 0"


def interest_among(condition: str) -> str:
    """Whether one of the interests does."""
    return f"f.interests && {_numbers(INTEREST, condition)}"


def any_tag(tags: Collection[str], bound: Bound) -> str:
    """Whether a customer has one of these, FAMILY.NAME:VALUE."""
    return f"({' OR '.join(_tagged(tag, bound) for tag in tags)})" if tags else "false"


def _numbers(facet: str, condition: str) -> str:
    """Found once a statement, not once a row."""
    return f"ARRAY(SELECT number FROM facet_values WHERE facet = '{facet}' AND {condition})"


def _tagged(tag: str, bound: Bound) -> str:
    number = f"(SELECT number FROM facet_values WHERE facet = '{TAG}' AND value = {bound(tag, 'text')})"
    return f"CASE WHEN {number} < 8 * length(f.tags) THEN get_bit(f.tags, {number}) = 1 ELSE false END"
