"""JSON Schemas (draft 7) of the data of published changes, one for each type of event.

Subscribers rely on them: within a version nothing is taken away, and what is added is not required. They say nothing
about members that they don't know, so that adding one breaks nobody.
"""

from collections.abc import Mapping
from typing import Any, Final

from tierwise.publishing.kinds import (
    ERASED,
    INTENT_CHANGED,
    LIFECYCLE_CHANGED,
    MERGED,
    SEGMENT_CHANGED,
    TAG_CHANGED,
    TIER_CHANGED,
)

Schema = Mapping[str, Any]

_CUSTOMER: Final[Schema] = {"type": "string", "description": "A customer's id.", "examples": ["c_8f2kq1z7m4x0t"]}
_CUSTOMERS: Final[Schema] = {"type": "array", "items": _CUSTOMER, "minItems": 1}
_SEQUENCE: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "description": "Without gap for each customer, over all topics. A repeat has the same.",
}
_AT: Final[Schema] = {"type": "string", "format": "date-time", "description": "When it takes effect, in UTC."}
_CAUSE: Final[Schema] = {
    "type": "object",
    "description": "kind: interaction, time, import, release, cuts, segment, merge, override, split, block, unblock, "
    "erase; more may come. interaction and source where one was the cause.",
    "properties": {
        "kind": {"type": "string", "examples": ["interaction"]},
        "interaction": {"type": "string", "description": "Its id in its source.", "examples": ["ord-1042"]},
        "source": {"type": "string", "examples": ["shop"]},
    },
    "required": ["kind"],
}
_REASON: Final[Schema] = {
    "type": "object",
    "properties": {
        "part": {"type": "string", "description": "A dimension, a group of points or a rule of the rulebook."},
        "points": {"type": "number", "description": "What it adds to a score; of tier and intent."},
        "rule": {"type": "string", "description": "Its text with each value in brackets; of lifecycle and tags."},
        "en": {"type": "string"},
        "zh": {"type": "string"},
    },
    "required": ["part", "en", "zh"],
}
_SCORE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 100, "description": "One decimal."}
_NO_SCORE: Final[Schema] = {"type": "null"}


def _change(title: str, aspect: Schema, value: Schema, *, gone: bool, score: Schema) -> Schema:
    """`gone`: whether the new value may be none."""
    none_or_value = {"anyOf": [value, {"type": "null"}]}
    properties = {
        "customer_id": _CUSTOMER,
        "sequence": _SEQUENCE,
        "aspect": aspect,
        "from": {**none_or_value, "description": "null the first time."},
        "to": {**none_or_value, "description": "null where it goes."} if gone else value,
        "at": _AT,
        "score": score,
        "rulebook": {"type": "string", "description": "The version that decided.", "examples": ["2026-11"]},
        "cuts": {"type": ["integer", "null"], "description": "Number of the tiers' cuts; null: fixed scores."},
        "cause": _CAUSE,
        "reasons": {"type": "array", "items": _REASON, "description": "The largest first; may be empty."},
    }
    return {"title": title, "type": "object", "properties": properties, "required": list(properties)}


_GRADE: Final[Schema] = {"type": "string", "description": "A tier of the rulebook.", "examples": ["B"]}
_LEVEL: Final[Schema] = {"type": "string", "description": "An intent level of the rulebook.", "examples": ["high"]}
_STAGE: Final[Schema] = {"type": "string", "description": "A stage of the rulebook.", "examples": ["active"]}
_VALUE: Final[Schema] = {"type": "string", "description": "A value of this tag.", "examples": ["high"]}
_TAG: Final[Schema] = {"type": "string", "pattern": r"^tag:[^.]+\..+$", "examples": ["tag:behaviour.browsing"]}
_SEGMENT: Final[Schema] = {"type": "string", "pattern": r"^segment:.+$", "examples": ["segment:vip"]}

_MERGED: Final[Schema] = {
    "title": "Customers became one, or were told apart again",
    "type": "object",
    "properties": {
        "customer_id": {**_CUSTOMER, "description": "Who stays; answers for the others from then on."},
        "sequence": _SEQUENCE,
        "merged": {**_CUSTOMERS, "description": "Who became a part of customer_id."},
        "split": {**_CUSTOMERS, "description": "Who is a customer of their own again."},
        "at": _AT,
        "by": _CAUSE,
    },
    "required": ["customer_id", "sequence", "at", "by"],
    "oneOf": [{"required": ["merged"]}, {"required": ["split"]}],
}

_ERASED: Final[Schema] = {
    "title": "A customer was erased",
    "description": "Delete what you hold of customer_id, and of whom was merged into it. A higher sequence is of what "
    "happened after the erasure.",
    "type": "object",
    "properties": {
        "customer_id": {**_CUSTOMER, "description": "Whose personal data and interactions are gone."},
        "sequence": _SEQUENCE,
        "at": _AT,
        "by": _CAUSE,
    },
    "required": ["customer_id", "sequence", "at", "by"],
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    kind.type: {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"urn:tierwise:schema:{kind.type}",
        **schema,
    }
    for kind, schema in {
        TIER_CHANGED: _change("A tier changed", {"const": "tier"}, _GRADE, gone=False, score=_SCORE),
        INTENT_CHANGED: _change("An intent level changed", {"const": "intent"}, _LEVEL, gone=False, score=_SCORE),
        LIFECYCLE_CHANGED: _change(
            "A lifecycle stage changed", {"const": "lifecycle"}, _STAGE, gone=False, score=_NO_SCORE
        ),
        TAG_CHANGED: _change("A tag came, changed or went", _TAG, _VALUE, gone=True, score=_NO_SCORE),
        SEGMENT_CHANGED: _change(
            "A customer came into a segment or left it", _SEGMENT, {"const": "member"}, gone=True, score=_NO_SCORE
        ),
        MERGED: _MERGED,
        ERASED: _ERASED,
    }.items()
}
"""By type of event."""


def path_of(event_type: str) -> str:
    """Where the profile API serves the schema."""
    return f"/schemas/{event_type}.json"
