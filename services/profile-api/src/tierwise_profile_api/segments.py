"""Saved segments: what people name, and what becomes of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import segment_members, segments
from tierwise.domain.change import SEGMENT, rfc3339
from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.expressions import ExpressionError
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.segment import FILTER_CHARS_MAX, NAME, SEGMENTS_MAX
from tierwise.finding.conditions import Bound
from tierwise.finding.expression_sql import condition_of
from tierwise.problem import NotFound, Problem
from tierwise.webhooks.registry import naming_segment

_LABEL_CHARS_MAX: Final = 100
_LANGUAGES: Final = ("en", "zh")


class UnknownSegment(NotFound):
    code = "unknown_segment"


class SegmentThere(Problem):
    status, code, title = 409, "segment_exists", "There is a segment of this name"


class SegmentInUse(Problem):
    """`subscriptions` names those that name it."""

    status, code, title = 409, "segment_in_use", "Subscriptions name this segment"

    def __init__(self, name: str, subscriptions: list[str]) -> None:
        detail = f"{name} stands in filters of {', '.join(subscriptions)}: change or delete these subscriptions first."
        super().__init__(detail, subscriptions=subscriptions)


class InvalidSegment(Problem):
    """`field` names what is wrong."""

    status, code, title = 400, "invalid_segment", "A segment cannot be like this"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}", field=field)


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As people write it. `quiet`: who comes and goes by it is not published."""

    filter: str
    labels: dict[str, str] = {}
    quiet: bool = False


class Named(Definition, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str


class Segment(NamedTuple):
    id: int
    name: str
    labels: Mapping[str, str]
    filter: str
    created_at: datetime
    changed_at: datetime
    reached: int | None

    def document(self, rulebook: Rulebook) -> dict[str, Any]:
        """`problem`: why the rulebook in force has no words for it; its members stay as they are meanwhile."""
        return {
            "name": self.name,
            "labels": {language: self.labels.get(language, self.name) for language in _LANGUAGES},
            "filter": self.filter,
            "state": "ready" if self.reached is None else "filling",
            "problem": problem_of(self.filter, rulebook),
            "created_at": rfc3339(self.created_at),
            "changed_at": rfc3339(self.changed_at),
        }


_COLUMNS: Final = [getattr(segments.c, name) for name in Segment._fields]


async def list_segments(connection: AsyncConnection) -> list[Segment]:
    """By name."""
    return [Segment(*row) for row in await connection.execute(select(*_COLUMNS).order_by(segments.c.name))]


async def find_segment(connection: AsyncConnection, name: str) -> Segment:
    """Raises UnknownSegment."""
    row = (await connection.execute(select(*_COLUMNS).where(segments.c.name == name))).one_or_none()
    if row is None:
        raise UnknownSegment(f"There is no segment {name[:64]!r}: GET /v1/segments lists them.")
    return Segment(*row)


async def create_segment(connection: AsyncConnection, given: Named, rulebook: Rulebook) -> Segment:
    """Raises InvalidSegment, SegmentThere."""
    if not NAME.fullmatch(given.name):
        raise InvalidSegment("name", "it has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter")
    _check(given, rulebook)
    if (await connection.execute(select(func.count()).select_from(segments))).scalar_one() >= SEGMENTS_MAX:
        raise InvalidSegment("name", f"there are {SEGMENTS_MAX} segments, which is all there may be: delete one")
    try:
        await connection.execute(insert(segments).values(name=given.name, **_to_be_passed(given)))
    except IntegrityError as error:
        raise SegmentThere(f"{given.name} is there already: replace it by PUT, or delete it.") from error
    return await find_segment(connection, given.name)


async def replace_segment(connection: AsyncConnection, name: str, given: Definition, rulebook: Rulebook) -> Segment:
    """Raises InvalidSegment, UnknownSegment."""
    _check(given, rulebook)
    changed = {**_to_be_passed(given), "changed_at": func.now()}
    await connection.execute(update(segments).where(segments.c.name == name).values(changed))
    return await find_segment(connection, name)


async def delete_segment(connection: AsyncConnection, name: str) -> None:
    """Nobody is told that members leave. Raises UnknownSegment, SegmentInUse."""
    found = await find_segment(connection, name)
    await connection.execute(select(segments.c.id).where(segments.c.id == found.id).with_for_update())
    if naming := await naming_segment(connection, name):  # whoever comes now to name it waits, and finds none
        raise SegmentInUse(name, naming)
    await connection.execute(delete(segments).where(segments.c.id == found.id))
    await connection.execute(delete(segment_members).where(segment_members.c.segment_id == found.id))


def problem_of(expression: str, rulebook: Rulebook) -> str | None:
    try:
        condition_of(parse(expression), expression, rulebook, Bound())
    except ExpressionError as error:
        return f"{error}."
    return None


def _check(given: Definition, rulebook: Rulebook) -> None:
    if len(given.filter) > FILTER_CHARS_MAX or "\0" in given.filter:
        raise InvalidSegment("filter", f"it has at most {FILTER_CHARS_MAX:,} characters, none of them a zero byte")
    if (problem := problem_of(given.filter, rulebook)) is not None:
        raise InvalidSegment("filter", problem)
    for language, label in given.labels.items():
        if language not in _LANGUAGES:
            raise InvalidSegment("labels", f"the languages are {', '.join(_LANGUAGES)}")
        if not 0 < len(label) <= _LABEL_CHARS_MAX or not label.isprintable():
            raise InvalidSegment(f"labels.{language}", f"it has 1 to {_LABEL_CHARS_MAX} characters that can be seen")


def _to_be_passed(given: Definition) -> dict[str, Any]:
    return {
        "labels": given.labels,
        "filter": given.filter,
        "quiet": given.quiet,
        "cause": SEGMENT,
        "reached": -1,
        "pass_after": None,
    }
