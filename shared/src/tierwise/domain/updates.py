"""Updates: what an interaction changes of its customer's attributes, beside setting them."""

from typing import Annotated, Final

import msgspec

from tierwise.domain.wellformed import INT64_MAX, INT64_MIN

ATTRIBUTES_MAX: Final = 100
"""That one interaction may assert; and that it may update."""

ADDED_MAX: Final = 1_000_000_000
"""That one interaction may add or take away, with at most 4 digits after the point; more are rounded."""

Integer = Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
Scalar = None | bool | Integer | float | Text
AttributeName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
AttributeValue = Scalar | Annotated[list[Scalar], msgspec.Meta(max_length=100)]

_Number = (
    Annotated[int, msgspec.Meta(ge=-ADDED_MAX, le=ADDED_MAX)]
    | Annotated[float, msgspec.Meta(ge=-ADDED_MAX, le=ADDED_MAX)]
)
_Element = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class Updates(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, kw_only=True):
    """`first`: counts unless something was said before it. `add`: to a number. `append`: to a list, what is not in it.
    `clear`: unsets all that is known of the customer from sources up to now."""

    first: dict[AttributeName, AttributeValue] = {}
    add: dict[AttributeName, _Number] = {}
    append: dict[AttributeName, Annotated[list[_Element], msgspec.Meta(max_length=100)]] = {}
    clear: bool = False

    def names(self) -> set[str]:
        return {*self.first, *self.add, *self.append}

    def fields(self) -> list[tuple[str, str]]:
        """(name, where it stands)."""
        groups = (("first", self.first), ("add", self.add), ("append", self.append))
        return [(name, f"updates.{group}.{name}") for group, held in groups for name in held]
