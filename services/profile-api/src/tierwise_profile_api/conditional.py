"""Conditional requests: a current view that the caller holds already is not sent again."""

from tierwise.domain.customer_id import public_id
from tierwise.security.keys import Reader
from tierwise_profile_api.authenticate import PERSONAL
from tierwise_profile_api.reads import Row


def entity_tag(row: Row, reader: Reader, language: str) -> str:
    """Strong, as RFC 9110 has it: another version, language or scope is another representation. The id is in it
    because an address answers with another customer after a merge."""
    scope = "personal" if PERSONAL in reader.scopes else "masked"
    return f'"{public_id(row["id"])}.{row["version"]}.{language}.{scope}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    if if_none_match is None:
        return False
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in given or given == ["*"]
