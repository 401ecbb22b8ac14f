"""What is sent to write back, and what OpenAPI says of it."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from tierwise.domain.updates import Scalar
from tierwise_profile_api.authenticate import WRITE, documented
from tierwise_profile_api.documents import problems

ID_CHARACTERS_MAX: Final = 128

_Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
        description="Yours, unique among what keys of the same name write: the same again changes nothing.",
    ),
]
_Reason = Annotated[str, Meta(min_length=1, max_length=1_000, description="For people; it stands on the timeline.")]


class NewOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    aspect: Annotated[str, Meta(description="tier, intent, lifecycle or tag:FAMILY.NAME.")]
    value: Annotated[str, Meta(description="One that the rulebook in force knows at this aspect.")]
    reason: _Reason
    expires: Annotated[datetime, Meta(tz=True)] | None = None
    id: _Id | None = None


class NewNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=10_000)]
    properties: Annotated[
        dict[str, Scalar],
        Meta(description="More of it, as the rulebook's rules on notes look at: need, form, outcome."),
    ] = {}
    id: _Id | None = None


class Correction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    attributes: Annotated[dict[str, Any], Meta(min_length=1, description="Name to value; null unsets.")]
    reason: _Reason | None = None
    id: _Id | None = None


class NewMerge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    customers: Annotated[tuple[str, str], Meta(description="Two ids that are one person's; the older one stays.")]
    reason: _Reason | None = None
    id: _Id | None = None


_, COMPONENTS = msgspec.json.schema_components(
    [NewOverride, NewNote, Correction, NewMerge], ref_template="#/components/schemas/{name}"
)
"""JSON Schema of these, by name; for the document's `components.schemas`."""

_APPENDED: Final[dict[str, Any]] = {
    "description": "The log has it; it is scored within moments.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "title": "Entry",
                "required": ["id", "customer_id"],
                "properties": {
                    "id": {"type": "string", "description": "The entry's, as the timeline has it."},
                    "customer_id": {"type": "string", "description": "Whose timeline it stands on."},
                },
            },
            "example": {"id": "console:ov-1", "customer_id": "c_e2rp2eapcnax1"},
        }
    },
}

_EXAMPLES: Final[dict[type, dict[str, Any]]] = {
    NewOverride: {
        "aspect": "tier",
        "value": "A",
        "reason": "Signed a frame contract",
        "expires": "2100-01-01T00:00:00+08:00",
        "id": "ov-1",
    },
    NewNote: {"text": "Asked for a quote at the fair", "properties": {"need": "quote"}, "id": "note-1"},
    Correction: {"attributes": {"industry": "education", "age": None}, "reason": "Said so on the phone"},
    NewMerge: {"customers": ["c_e2rp2eapcnax1", "c_8ed3k968mmvf4"], "reason": "The same person, two addresses"},
}


def appending(form: type | None = None) -> dict[str, Any]:
    """For a route that appends an entry: its status, answers and body."""
    extra = documented(WRITE)
    if form is not None:
        schema = {"$ref": f"#/components/schemas/{form.__name__}"}
        content = {"application/json": {"schema": schema, "example": _EXAMPLES[form]}}
        extra |= {"requestBody": {"required": True, "content": content}}
    statuses = (404,) if form is None else (404, 413)
    return {"status_code": 202, "responses": problems(*statuses) | {202: _APPENDED}, "openapi_extra": extra}
