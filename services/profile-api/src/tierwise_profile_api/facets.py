"""The columns of `customer_facets`, as requests name them, and the parameters of statements on them."""

from typing import Final

ATTRIBUTES: Final = (
    "region", "city_tier", "age_group", "gender", "occupation", "industry", "company_size", "customer_type", "owner",
)  # fmt: skip
"""Of a customer's attributes those that can be asked for."""

TOUCHES: Final = ("first_touch", "last_touch")

GROUPS: Final = ("tier", "intent", "stage", *ATTRIBUTES, *TOUCHES, "preferred_channel", "interest")
"""What customers can be counted by, beside `tag:NAME`."""


class Bound:
    """Collects a statement's parameters, from $1 on."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object, type_: str) -> str:
        """The SQL that stands for the value."""
        self.values.append(value)
        return f"${len(self.values)}::{type_}"
