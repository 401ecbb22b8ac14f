"""Small histories, told in a line: what a customer did, how many days ago."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tierwise.domain.interaction import Interaction

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
"""Noon in Shanghai, where the ready rulebooks have their days."""


def did(
    what: str, /, *days_ago: float, attributes: dict[str, Any] | None = None, **properties: Any
) -> list[Interaction]:
    """One interaction, `what` being `channel/type`, for each of `days_ago`, at noon but for parts of days."""
    channel, _, type_ = what.partition("/")
    return [
        Interaction(
            id=f"{what} {properties} {index} {days}",
            source="story",
            time=NOW - timedelta(days=days),
            received=NOW,
            channel=channel,
            type=type_,
            identifiers={"user_id": "u"},
            attributes=attributes or {},
            properties=properties,
        )
        for index, days in enumerate(days_ago)
    ]


def known(**attributes: Any) -> list[Interaction]:
    """What is known of the customer, without anything that they did."""
    return did("crm/note", 1, attributes=attributes)
