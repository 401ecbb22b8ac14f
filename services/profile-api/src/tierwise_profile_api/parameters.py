"""What requests may ask for, and how a parameter that cannot be used is answered: 400, naming it."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from tierwise.domain.change import ASPECTS
from tierwise.domain.interaction import CHANNELS
from tierwise.problem import Problem

TOKEN_PARAMETER: Final = "access_token"  # noqa: S105
"""In the query, for browsers' EventSource, which cannot send headers."""

AsOf = Annotated[
    str | None,
    Query(description="As of this time, RFC 3339 with a zone: by event time, as known today.", max_length=40),
]
FieldNames = Annotated[
    str | None,
    Query(
        max_length=2_000,
        description="Only these, dotted, with commas between; ids are always there.",
        examples=["tier.grade,intent,attributes.region"],
    ),
]
By = Annotated[
    Literal["then", "current"],
    Query(alias="rulebook", description="By the rulebook and cuts that were in force then, or by those in force now."),
]

LIMIT_MAX: Final = 200
VALUES_MAX: Final = 50


class BadParameter(Problem):
    """`field` names the parameter."""

    status, code, title = 400, "bad_parameter", "A parameter cannot be used"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail, field=field)


Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Items in one page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=400, description="`next_cursor` of the page before, with the same filters."),
]


def of_validation(error: RequestValidationError) -> BadParameter:
    """The framework's own refusal in our form; the first one, as the rest may follow from it."""
    first = error.errors()[0]
    return BadParameter(str(first["loc"][1] if len(first["loc"]) > 1 else first["loc"][0]), str(first["msg"]))


async def known_parameters(request: Request) -> None:
    """A parameter that a route does not know is refused: `teir=A` must not answer with everybody."""
    if not request.scope["query_string"]:
        return
    known = {*_query_parameters(request.scope["route"].dependant), TOKEN_PARAMETER}
    for name in request.query_params:
        if name not in known:
            taken = ", ".join(sorted(known - {TOKEN_PARAMETER}))
            raise BadParameter(name, f"This route takes {taken or 'no parameters'}.")


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _query_parameters(below)


Channel = Annotated[str, Field(json_schema_extra={"enum": list(CHANNELS)})]
Type = Annotated[str, Field(json_schema_extra={"pattern": r"^[^\u0000-\u0020\u007f]{1,64}$"})]
_ONE: Final = r"tag:[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*|segment:[a-z][a-z0-9_-]*"
Aspect = Annotated[str, Field(json_schema_extra={"pattern": rf"^({'|'.join(ASPECTS)}|{_ONE})$"})]
"""As documented; they are checked by the functions below, which say what there is."""


def channels(values: Sequence[str]) -> list[str]:
    for value in values:
        if value not in CHANNELS:
            raise BadParameter("channel", f"The channels are {', '.join(CHANNELS)}.")
    return sorted(set(values))


_TYPE: Final = re.compile(r"[^\x00-\x20\x7f]{1,64}")


def types(values: Sequence[str]) -> list[str]:
    if len(values) > VALUES_MAX:
        raise BadParameter("type", f"At most {VALUES_MAX} values.")
    for value in values:
        if not _TYPE.fullmatch(value):
            raise BadParameter("type", "A type has 1 to 64 characters and no spaces.")
    return sorted(set(values))


_ONE_ASPECT: Final = re.compile(_ONE)


def aspects(values: Sequence[str]) -> list[str]:
    """Of changes: patterns of SQL's LIKE. Raises BadParameter."""
    for value in values:
        if value not in ASPECTS and not _ONE_ASPECT.fullmatch(value):
            raise BadParameter("aspect", f"The aspects are {', '.join(ASPECTS)}, tag:FAMILY.NAME and segment:NAME.")
    return sorted({f"{value}:%" if value in ("tag", "segment") else value.replace("_", r"\_") for value in values})


def instant(field: str, text: str | None) -> datetime | None:
    """RFC 3339 with a zone, as UTC. Raises BadParameter."""
    if text is None:
        return None
    try:
        if not _RFC_3339.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadParameter(
            field, "A time is RFC 3339 with a zone: 2026-11-20T09:30:00Z, or +08:00 with the + written as %2B."
        ) from error


def past_instant(field: str, text: str, now: datetime) -> datetime:
    """The same, not ahead of now. Raises BadParameter."""
    time = instant(field, text)
    if time is None or time > now:
        raise BadParameter(field, f"It lies ahead: at most {now:%Y-%m-%dT%H:%M:%SZ}, which is now.")
    return time


_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
