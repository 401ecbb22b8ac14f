"""What the routes of segments take and answer, for the OpenAPI document."""

from typing import Any, Final

from pydantic import AwareDatetime, Field

from tierwise_profile_api.documents import Document, problems

_LABELS: Final = {"en": "Top buyers", "zh": "高价值客户"}
_FILTER: Final = 'tier in ("A", "B") and days_since_seen <= 30d'


class Segment(Document):
    name: str = Field(examples=["top-buyers"])
    labels: dict[str, str] = Field(examples=[_LABELS])
    filter: str = Field(examples=[_FILTER])
    state: str = Field(description="filling until everyone has been looked at, then ready.", examples=["ready"])
    problem: str | None = Field(
        description="Why the rulebook in force has no words for the filter; its members stay meanwhile."
    )
    created_at: AwareDatetime
    changed_at: AwareDatetime


class CountedSegment(Segment):
    customers: int | None = Field(description="Whom the filter fits; null where there is a `problem`.", examples=[42])
    as_of: AwareDatetime


class Segments(Document):
    items: list[Segment]
    next_cursor: None = Field(description="There is always one page.")


def _body(*required: str, **properties: Any) -> dict[str, Any]:
    own = {
        "filter": {"type": "string", "description": "An expression in the rulebook's language."},
        "labels": {"type": "object", "description": "By language: en, zh.", "additionalProperties": {"type": "string"}},
        "quiet": {"type": "boolean", "default": False, "description": "Who comes and goes by it is not published."},
    }
    schema = {
        "type": "object",
        "properties": {**properties, **own},
        "required": list(required),
        "additionalProperties": False,
    }
    example = {name: one["examples"][0] for name, one in properties.items()} | {"labels": _LABELS, "filter": _FILTER}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


_NAME: Final = {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$", "examples": ["top-buyers"]}
NAMED: Final = _body("name", "filter", name=_NAME)
DEFINITION: Final = _body("filter")

LIST: Final[dict[str, Any]] = {"response_model": Segments, "responses": problems()}
SHOW: Final[dict[str, Any]] = {"response_model": CountedSegment, "responses": problems(404)}
CREATE: Final[dict[str, Any]] = {"response_model": Segment, "responses": problems(409, 413)}
REPLACE: Final[dict[str, Any]] = {"response_model": Segment, "responses": problems(404, 413)}
DELETE: Final[dict[str, Any]] = {"responses": problems(404, 409)}
