"""A change: one aspect of one customer going from one value to another, and how it is published."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from tierwise.domain.classify import Classifications
from tierwise.domain.customer_id import public_id
from tierwise.domain.ledger import Ints
from tierwise.domain.rule_reasons import NO_RULE, pack_rules, rule_reasons
from tierwise.domain.rulebook.book import FADING_BITS, Rulebook, Tag

TIER, INTENT, LIFECYCLE, MERGE = "tier", "intent", "lifecycle", "merge"
SPLIT, ERASE = "split", "erase"
SEGMENT, MEMBER = "segment", "member"

ASPECTS = (TIER, INTENT, LIFECYCLE, "tag", SEGMENT, MERGE, SPLIT, ERASE)
"""What changes can be about, every tag and every segment being one; their own aspects are by `tag_aspect` and
`segment_aspect`."""

REASONS_MAX = 3
_REASON = np.dtype([("part", "<u2"), ("points", "<i4")])
_UNPACK = struct.Struct("<Hi").iter_unpack  # of one _REASON: for a few, faster than an array
_NO_PART = 0xFFFF
_POINTS_MAX = 2**31 - 1

_encode = msgspec.json.Encoder().encode

Bools = npt.NDArray[np.bool_]
Results = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Changes:
    """One element a change of one aspect. `customer`: index, ascending. `old` and `new`: names, None for none.
    `score`: tenths, None where the aspect has none. `reasons`: packed, see `reasons_of`."""

    aspect: str
    customer: Ints
    old: list[str | None]
    new: list[str | None]
    score: list[int | None]
    reasons: list[bytes]


def tag_aspect(tag: Tag) -> str:
    return f"tag:{tag.family}.{tag.name}"


def segment_aspect(name: str) -> str:
    """Of a segment, of which a customer is a MEMBER or nothing."""
    return f"{SEGMENT}:{name}"


class Names(NamedTuple):
    """What the codes of results mean. `tags`: the values of each tag, from code 1 on."""

    tiers: tuple[str, ...]
    levels: tuple[str, ...]
    stages: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]


def names_of(rulebook: Rulebook) -> Names:
    return Names(
        rulebook.tier_names,
        rulebook.level_names,
        rulebook.stage_names,
        tuple(tag.values for tag in rulebook.tags),
    )


def differences(
    before: Results, known: Bools, after: Classifications, rulebook: Rulebook, names: Names | None = None
) -> Iterator[Changes]:
    """What changed, aspect by aspect. `before`: results in the layout of the same rulebook; `known`: whether there
    was one. `names`: of the codes in `before`, where those of `translate` are among them."""
    new = after.result
    old_names = names or names_of(rulebook)
    moved = np.flatnonzero(~known | (before["tier"] != new["tier"]))
    weights = np.array([dimension.weight for dimension in rulebook.dimensions])
    parts = new["dimensions"][moved].astype(np.int64) * weights
    yield Changes(
        TIER,
        moved,
        _names(before["tier"][moved], known[moved], old_names.tiers),
        _names(new["tier"][moved], None, rulebook.tier_names),
        ((new["tier_score"][moved] + 5) // 10).tolist(),
        _pack_reasons(parts // 10),
    )
    moved = np.flatnonzero(~known | (before["level"] != new["level"]))
    yield Changes(
        INTENT,
        moved,
        _names(before["level"][moved], known[moved], old_names.levels),
        _names(new["level"][moved], None, rulebook.level_names),
        new["score"][moved].tolist(),
        _pack_reasons(after.parts[:, moved].T >> FADING_BITS),
    )
    moved = np.flatnonzero(~known | (before["stage"] != new["stage"]))
    yield Changes(
        LIFECYCLE,
        moved,
        _names(before["stage"][moved], known[moved], old_names.stages),
        _names(new["stage"][moved], None, rulebook.stage_names),
        [None] * len(moved),
        _stage_reasons(moved, after, rulebook),
    )
    old_tags = np.where(known[:, None], before["tags"], 0)
    for index, tag in enumerate(rulebook.tags):
        moved = np.flatnonzero(old_tags[:, index] != new["tags"][:, index])
        if len(moved):
            old_values: tuple[str | None, ...] = (None, *old_names.tags[index])
            values: tuple[str | None, ...] = (None, *tag.values)
            yield Changes(
                tag_aspect(tag),
                moved,
                [old_values[code] for code in old_tags[moved, index].tolist()],
                [values[code] for code in new["tags"][moved, index].tolist()],
                [None] * len(moved),
                _tag_reasons(moved, index, old_tags[moved, index], after, rulebook),
            )


def _names(codes: npt.NDArray[Any], known: Bools | None, names: tuple[str, ...]) -> list[str | None]:
    if known is None:
        return [names[code] for code in codes.tolist()]
    return [names[code] if was else None for code, was in zip(codes.tolist(), known.tolist(), strict=True)]


def _pack_reasons(parts: Ints) -> list[bytes]:
    """[changes, parts] in 1/1000 point -> the largest parts of each change, the largest first, zeros left out."""
    if not len(parts):
        return []
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :REASONS_MAX]
    points = np.take_along_axis(parts, order, axis=1)
    packed = np.empty(order.shape, _REASON)
    packed["part"] = np.where(points == 0, _NO_PART, order)
    packed["points"] = np.clip(points, -_POINTS_MAX, _POINTS_MAX)
    return [row.tobytes() for row in packed]


def _stage_reasons(moved: Ints, after: Classifications, rulebook: Rulebook) -> list[bytes]:
    """The rule of the new stage; none where a person set the stage."""
    if after.history is None or not len(moved):
        return [b""] * len(moved)
    rule = after.history.stage_rule[moved]
    codes = np.array([rulebook.stage_names.index(stage.name) for stage in rulebook.stages])
    rule = np.where(codes[rule] == after.result["stage"][moved], rule, NO_RULE)
    conditions = [stage.when for stage in rulebook.stages]
    return pack_rules(moved, rule, np.ones(len(moved), np.bool_), conditions, after.history, rulebook)


def _tag_reasons(
    moved: Ints, index: int, old: npt.NDArray[np.uint8], after: Classifications, rulebook: Rulebook
) -> list[bytes]:
    """The rule of the new value, or that of the old one, which does not hold any more; none where a person set it, or
    where no rule is known."""
    if after.history is None:
        return [b""] * len(moved)
    conditions = rulebook.tags[index].conditions
    new, computed = after.result["tags"][moved, index].astype(np.int64), after.history.tag_value[moved, index]
    rule = np.where(new > 0, new, np.where(old <= len(conditions), old, 0)) - 1
    rule = np.where(new == computed, rule, NO_RULE)
    return pack_rules(moved, rule, new > 0, conditions, after.history, rulebook)


def reasons_of(aspect: str, packed: bytes, rulebook: Rulebook) -> list[dict[str, Any]]:
    """Of a tier or an intent level the largest parts of its score, labelled: `[{"part", "points", "en", "zh"}]`; of a
    stage or a tag the rule: see `rule_reasons`."""
    if aspect not in (TIER, INTENT):
        return list(_rule_reasons(aspect, packed, rulebook))
    labels = rulebook.dimension_labels if aspect == TIER else rulebook.intent_labels
    return [
        {"part": labels[part][0], "points": points / 1000, **labels[part][1]}
        for part, points in _UNPACK(packed)
        if part != _NO_PART
    ]


@lru_cache(maxsize=32_768)  # 20 us each, and many customers change for the same reason with the same values
def _rule_reasons(aspect: str, packed: bytes, rulebook: Rulebook) -> list[dict[str, Any]]:
    if aspect == LIFECYCLE:
        return rule_reasons(packed, [(stage.name, stage.when) for stage in rulebook.stages], rulebook)
    tag = next((tag for tag in rulebook.tags if tag_aspect(tag) == aspect), None)
    return rule_reasons(packed, list(zip(tag.values, tag.conditions, strict=True)), rulebook) if tag else []


@lru_cache(maxsize=32_768)
def _encoded_reasons(aspect: str, packed: bytes, rulebook: Rulebook) -> msgspec.Raw:
    return msgspec.Raw(_encode(reasons_of(aspect, packed, rulebook)))


class StoredChange(msgspec.Struct, frozen=True):
    """A row of the table `changes`. `score`: tenths; `source`: the name of the source."""

    customer_id: int
    sequence: int
    aspect: str
    old: str | None
    new: str | None
    score: int | None
    merged: int | None
    at: datetime
    recorded_at: datetime
    rulebook_id: int
    cuts: int | None
    cause: str
    interaction: str | None
    source: str | None
    reasons: bytes


def event_id(change: StoredChange) -> str:
    """Known again when it comes twice: `c_...:19`."""
    return event_id_of(change.customer_id, change.sequence)


def event_id_of(customer_id: int, sequence: int) -> str:
    return f"{public_id(customer_id)}:{sequence}"


_OTHERS = {MERGE: "merged", SPLIT: "split"}


class _Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: str
    interaction: str | None = None
    source: str | None = None


class _Moved(msgspec.Struct, frozen=True, rename={"old": "from", "new": "to"}):
    """Of an aspect that went from one value to another, with the names that subscribers know."""

    customer_id: str
    sequence: int
    aspect: str
    old: str | None
    new: str | None
    at: str
    score: float | None
    rulebook: str
    cuts: int | None
    cause: _Cause
    reasons: Any


class _Person(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Of who is one person with whom, or not any more."""

    customer_id: str
    sequence: int
    merged: list[str] = []
    split: list[str] = []
    at: str
    by: _Cause


def encoded(change: StoredChange, rulebook: Rulebook) -> bytes:
    """What is `published`, as JSON."""
    return _encode(_event(change, rulebook, _encoded_reasons))


def published(change: StoredChange, rulebook: Rulebook) -> dict[str, Any]:
    """The JSON data of the event that subscribers get, and that the profile API lists."""
    told: dict[str, Any] = msgspec.to_builtins(_event(change, rulebook, reasons_of))
    return told


def _event(
    change: StoredChange, rulebook: Rulebook, reasons: Callable[[str, bytes, Rulebook], Any]
) -> _Moved | _Person:
    customer_id, at = public_id(change.customer_id), rfc3339(change.at)
    cause = _Cause(change.cause, change.interaction, change.source)
    if change.aspect in (MERGE, SPLIT, ERASE):
        others = {} if change.merged is None else {_OTHERS[change.aspect]: [public_id(change.merged)]}
        return _Person(customer_id=customer_id, sequence=change.sequence, at=at, by=cause, **others)
    return _Moved(
        customer_id,
        change.sequence,
        change.aspect,
        change.old,
        change.new,
        at,
        None if change.score is None else change.score / 10,
        rulebook.version,
        change.cuts,
        cause,
        reasons(change.aspect, change.reasons, rulebook),
    )


@lru_cache(maxsize=4_096)  # a batch has one moment for all its changes
def rfc3339(moment: datetime) -> str:
    """In UTC, with Z, as everything that Tierwise sends."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
