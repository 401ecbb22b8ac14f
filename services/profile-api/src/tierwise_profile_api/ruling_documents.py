"""What is sent to say who is who, and what OpenAPI says of it."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from pydantic import AwareDatetime, Field

from tierwise.domain.identifier import IDENTIFIER_CHARACTERS_MAX
from tierwise.domain.ruling import REASON_CHARACTERS_MAX
from tierwise_profile_api.authenticate import WRITE, documented
from tierwise_profile_api.documents import Document, problems
from tierwise_profile_api.entry_documents import ID_CHARACTERS_MAX

IDENTIFIERS_MAX: Final = 1_000

_Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
        description="Yours, unique among what keys of the same name write: the same again changes nothing.",
    ),
]
_Reason = Annotated[str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, description="For people; kept sealed.")]
_Kind = Annotated[str, Meta(min_length=1, max_length=64)]
_Value = Annotated[
    str, Meta(min_length=1, max_length=IDENTIFIER_CHARACTERS_MAX, description="Normalised as at ingest.")
]


class Identifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: _Kind
    value: _Value


class NewSplit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    merged: Annotated[str, Meta(description="An id that was merged into this customer: all of theirs goes.")] | None = (
        None
    )
    identifiers: Annotated[
        tuple[Identifier, ...],
        Meta(max_length=IDENTIFIERS_MAX, description="Or those that are another person's; the rest stays."),
    ] = ()
    reason: _Reason | None = None
    id: _Id | None = None


class NewErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: _Reason | None = None
    id: _Id | None = None


class NewBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: _Kind
    value: _Value
    reason: _Reason | None = None
    id: _Id | None = None


_, COMPONENTS = msgspec.json.schema_components(
    [NewSplit, NewErasure, NewBlock], ref_template="#/components/schemas/{name}"
)
"""JSON Schema of these, by name; for the document's `components.schemas`."""


class Ruled(Document):
    id: str = Field(examples=["console:split-1"])
    ruling: Literal["split", "block", "unblock", "erase"]
    author: str = Field(description="The name of the key.", examples=["console"])
    at: AwareDatetime
    reason: str | None = Field(examples=["Two people, one tablet"])
    customer_id: str | None = Field(
        description="Whom it was said of, as the id was then; null of block and unblock.", examples=["c_e2rp2eapcnax1"]
    )
    identifier: dict[str, str] | None = Field(
        description="Of block and unblock; the value is masked unless the key has pii:read.",
        examples=[{"kind": "email", "value": "i***@example.com"}],
    )


class Rulings(Document):
    items: list[Ruled]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null: this was the last one.")


_EXAMPLES: Final[dict[type, dict[str, Any]]] = {
    NewSplit: {"merged": "c_1d5nw8r3b6y2k", "reason": "Two people, one tablet", "id": "split-1"},
    NewErasure: {"reason": "Asked for it by letter", "id": "erase-1"},
    NewBlock: {"kind": "email", "value": "info@example.com", "reason": "A mailbox of many", "id": "block-1"},
}


_KEPT_WHOLE: Final = {
    "kept_whole_before": {
        "type": "string",
        "format": "date-time",
        "description": "Where only the sums are kept of what happened before, they cannot be taken apart: all of them "
        "stay with the identifier with which they began.",
    }
}


def ruling(form: type, *statuses: int, of_customer: bool) -> dict[str, Any]:
    """For a route that appends a ruling: its status, answers and body."""
    entry: dict[str, Any] = {"id": {"type": "string", "description": "The entry's, as /v1/rulings has it."}}
    example = {"id": f"console:{_EXAMPLES[form]['id']}"}
    if of_customer:
        entry["customer_id"] = {"type": "string", "description": "Whom it is said of."}
        example["customer_id"] = "c_e2rp2eapcnax1"
    schema = {"type": "object", "title": "Ruling", "required": list(entry), "properties": entry | _KEPT_WHOLE}
    answer = {
        "description": "The log has it; it is carried out within moments.",
        "content": {"application/json": {"schema": schema, "example": example}},
    }
    body = {"schema": {"$ref": f"#/components/schemas/{form.__name__}"}, "example": _EXAMPLES[form]}
    return {
        "status_code": 202,
        "responses": problems(*statuses, 413) | {202: answer},
        "openapi_extra": documented(WRITE) | {"requestBody": {"required": True, "content": {"application/json": body}}},
    }
