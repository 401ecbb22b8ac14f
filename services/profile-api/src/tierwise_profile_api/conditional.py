"""Conditional requests: a current view that the caller holds already is not sent again."""

from hashlib import blake2b

from tierwise.domain.customer_id import public_id
from tierwise.security.keys import Reader
from tierwise_profile_api.authenticate import PERSONAL
from tierwise_profile_api.fields import Fields
from tierwise_profile_api.reads import Row


def entity_tag(row: Row, reader: Reader, language: str, fields: Fields | None = None) -> str:
    """Another version, language, scope or choice of fields is another representation. The id is in it because an
    address answers with another customer after a merge. Weak, as RFC 9110 has it: it is the same one compressed."""
    scope = "personal" if PERSONAL in reader.scopes else "masked"
    chosen = "" if fields is None else f".{blake2b(repr(fields).encode(), digest_size=6).hexdigest()}"
    return f'W/"{public_id(row["id"])}.{row["version"]}.{language}.{scope}{chosen}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    if if_none_match is None:
        return False
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag.removeprefix("W/") in given or given == ["*"]
