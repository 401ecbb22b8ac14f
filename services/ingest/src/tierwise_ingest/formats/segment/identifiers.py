"""Whom a message is about."""

from typing import Any, Final

from tierwise.domain.rejection import InvalidInteraction
from tierwise_ingest.formats.segment.message import Context, Message

_MERGED: Final = {
    "userid": "user_id",
    "anonymousid": "anonymous_id",
    "email": "email",
    "phone": "phone",
    "mobile": "phone",
    "crmid": "crm_id",
}


def identifiers_of(message: Message, context: Context, verb: str, kinds: frozenset[str]) -> dict[str, str]:
    """Kind to value, as they were sent. Raises InvalidInteraction."""
    found: dict[str, str] = {}
    if message.user_id is not None and message.user_id != "":
        found["user_id"] = str(message.user_id)
    if message.anonymous_id is not None and message.anonymous_id != "":
        found["anonymous_id"] = str(message.anonymous_id)
    if verb == "alias":
        found["anonymous_id"] = str(message.previous_id)
    elif verb == "merge":
        _add_merged(found, message, kinds)
    else:
        if context.traits is not None:
            _add_contact(found, context.traits)
        if verb == "identify" and message.traits:
            _add_contact(found, message.traits)
    return found


def _add_contact(found: dict[str, str], traits: Any) -> None:
    if not isinstance(traits, dict):
        return
    for kind in ("email", "phone"):
        value = traits.get(kind)
        if value is not None and value != "":
            found[kind] = str(value)


def _add_merged(found: dict[str, str], message: Message, kinds: frozenset[str]) -> None:
    for place, one in enumerate(message.merge_properties or ()):
        field = f"mergeProperties[{place}]"
        kind = _MERGED.get(one.type.replace("_", "").lower(), one.type)
        if kind not in kinds:
            raise InvalidInteraction("unknown_identifier", f"{field}.type", f"One of {', '.join(sorted(kinds))}")
        if found.get(kind, one.value) != one.value:
            raise InvalidInteraction("two_of_a_kind", f"{field}.type", f"One {kind} at a time can be merged")
        found[kind] = one.value
    if len(found) < 2:
        raise InvalidInteraction("nothing_to_merge", "mergeProperties", "It takes two identifiers to tie")
