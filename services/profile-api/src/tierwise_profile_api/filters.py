"""What lists, counts, statistics and exports of customers are narrowed by: several values of one filter mean any of
them, different filters all hold. Everything that was asked for is a bound parameter of the SQL."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Query

from tierwise.domain.customer_id import internal_id
from tierwise.domain.identifier import InvalidIdentifier, normalise
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.name_words import words
from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.expressions import ExpressionError
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.segment import FILTER_CHARS_MAX
from tierwise.domain.source import BACKEND
from tierwise.finding.conditions import ASKED, Bound, any_tag, column_among, interest_among
from tierwise.finding.expression_sql import condition_of
from tierwise.security.personal import Vault
from tierwise.security.values import word_hash
from tierwise_profile_api.parameters import VALUES_MAX, BadParameter, instant

_Q_CHARS_MAX: Final = 256
_KINDS: Final = ("email", "phone", "user_id", "crm_id", "anonymous_id")


def _several(description: str, example: str) -> Any:
    return Query(description=description, examples=[[example]])


Several = list[str] | None
Score = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parameters of a request that narrow; as a route's dependency."""

    tier: Annotated[Several, _several("Any of these tiers.", "A")] = None
    intent: Annotated[Several, _several("Any of these intent levels.", "high")] = None
    stage: Annotated[Several, _several("Any of these stages.", "active")] = None
    tag: Annotated[Several, _several("NAME:VALUE; several of one name: any of them.", "browsing:high")] = None
    interest: Annotated[Several, _several("Any of these interests.", "courses")] = None
    source: Annotated[Several, _several("Came first or last from any of these.", "search")] = None
    preferred_channel: Annotated[Several, _several("Does most on any of these channels.", "email")] = None
    region: Annotated[Several, _several("Any of these, ISO 3166-2.", "CN-31")] = None
    city_tier: Annotated[Several, _several("Any of these.", "first")] = None
    age_group: Annotated[Several, _several("Any of these.", "young")] = None
    gender: Annotated[Several, _several("Any of these.", "female")] = None
    occupation: Annotated[Several, _several("Any of these.", "manager")] = None
    industry: Annotated[Several, _several("Any of these.", "education")] = None
    company_size: Annotated[Several, _several("Any of these.", "large")] = None
    customer_type: Annotated[Several, _several("Any of these.", "company")] = None
    owner: Annotated[Several, _several("Any of these.", "sales-3")] = None
    intent_from: Annotated[Score, Query(ge=0, le=100, description="An intent score of at least this.")] = None
    intent_to: Annotated[Score, Query(ge=0, le=100, description="An intent score of at most this.")] = None
    tier_from: Annotated[Score, Query(ge=0, le=100, description="A tier score of at least this.")] = None
    tier_to: Annotated[Score, Query(ge=0, le=100, description="A tier score of at most this.")] = None
    seen_from: Annotated[str | None, Query(description="Last seen at this time or later.")] = None
    seen_to: Annotated[str | None, Query(description="Last seen before this time.")] = None
    segment: Annotated[Several, _several("In any of these segments.", "top-buyers")] = None
    filter: Annotated[
        str | None,
        Query(
            max_length=FILTER_CHARS_MAX,
            description="An expression in the rulebook's language.",
            examples=['tier in ("A", "B") and not (intent < 40 or region = "CN-31")'],
        ),
    ] = None
    q: Annotated[
        str | None,
        Query(
            max_length=_Q_CHARS_MAX,
            description="A customer's id, one of their identifiers, whole, or words of their names, whole.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Filters:
    """`sql`: a condition on `customer_facets` as f, whose parameters from $1 on are `values`."""

    sql: str
    values: list[object]


def read_filters(asked: Asked, rulebook: Rulebook, vault: Vault, segments: Sequence[str] = ()) -> Filters:
    """`segments`: the filters of those asked for. Raises BadParameter naming the values that there are: a typing error
    must not look like an empty list."""
    bound = Bound()
    found = [*_classified(asked, rulebook, bound), *_known(asked, bound), *_ranges(asked, bound)]
    if segments:
        found.append(f"({' OR '.join(_expressed('segment', one, rulebook, bound) for one in segments)})")
    if asked.filter is not None:
        found.append(_expressed("filter", asked.filter, rulebook, bound))
    if asked.q is not None:
        found.append(_searched(asked.q, vault, bound))
    return Filters(" AND ".join(found) or "true", bound.values)


def _classified(asked: Asked, rulebook: Rulebook, bound: Bound) -> Iterator[str]:
    for field, given, known in (
        ("tier", asked.tier, rulebook.tier_names),
        ("intent", asked.intent, rulebook.level_names),
        ("stage", asked.stage, rulebook.stage_names),
    ):
        if given:
            yield column_among(field, _is_one(_among(known, field, given), bound))
    for tags in _tags(rulebook, asked.tag or ()):
        yield any_tag(tags, bound)


def _known(asked: Asked, bound: Bound) -> Iterator[str]:
    for column in ASKED:
        if given := getattr(asked, column):
            yield column_among(column, _is_one(_texts(column, given), bound))
    if asked.interest:
        yield interest_among(_is_one(_texts("interest", asked.interest), bound))
    if asked.source:
        values = _is_one(_texts("source", asked.source), bound)
        yield f"({column_among('first_touch', values)} OR {column_among('last_touch', values)})"
    if asked.preferred_channel:
        named = _among(CHANNELS, "preferred_channel", asked.preferred_channel)
        yield column_among("preferred_channel", _is_one(named, bound))


def _is_one(values: list[str], bound: Bound) -> str:
    return f"value = ANY ({bound(values, 'text[]')})"


def _ranges(asked: Asked, bound: Bound) -> Iterator[str]:
    for column, unit, least, most in (
        ("score", 10, asked.intent_from, asked.intent_to),
        ("tier_score", 100, asked.tier_from, asked.tier_to),
    ):
        if least is not None:
            yield f"f.{column} >= {bound(round(least * unit), 'int')}"
        if most is not None:
            yield f"f.{column} <= {bound(round(most * unit), 'int')}"
    if (since := instant("seen_from", asked.seen_from)) is not None:
        yield f"f.last_seen >= {bound(since, 'timestamptz')}"
    if (until := instant("seen_to", asked.seen_to)) is not None:
        yield f"f.last_seen < {bound(until, 'timestamptz')}"


def _expressed(field: str, expression: str, rulebook: Rulebook, bound: Bound) -> str:
    if "\0" in expression:
        raise BadParameter(field, "An expression has no zero byte.")
    try:
        return condition_of(parse(expression), expression, rulebook, bound)
    except ExpressionError as error:
        raise BadParameter(field, f"{error}.") from error


def _searched(given: str, vault: Vault, bound: Bound) -> str:
    """Whole identifiers, and all of the words as whole words of names: they are stored sealed, and looked up by
    hash."""
    hashes = []
    for kind in _KINDS:
        try:
            value = normalise(kind, given, default_region=BACKEND.default_region)
        except InvalidIdentifier:
            continue
        hashes.append(vault.identifier_hash(kind, value))
    held = f"SELECT customer_id FROM identifiers WHERE hash = ANY ({bound(hashes, 'uuid[]')})"
    number = bound(internal_id(given), "bigint")
    named = f"SELECT coalesce(merged_into, id) FROM customers WHERE id = {number}"
    found = f"f.customer_id IN ({held} UNION {named})"
    hashed = [word_hash(word, vault) for word in words(given)]
    return f"({found} OR f.words @> {bound(hashed, 'bigint[]')})" if hashed else found


def _among(known: Sequence[str], field: str, given: Sequence[str]) -> list[str]:
    for value in given:
        if value not in known:
            raise BadParameter(field, f"The values are {', '.join(known)}.")
    return sorted(set(given))


_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")


def _texts(field: str, given: Sequence[str]) -> list[str]:
    if len(given) > VALUES_MAX:
        raise BadParameter(field, f"At most {VALUES_MAX} values.")
    for value in given:
        if not _TEXT.fullmatch(value):
            raise BadParameter(field, "A value has 1 to 100 characters, none of them a control character.")
    return sorted(set(given))


_TAG: Final = re.compile(r"(?:([a-z][a-z0-9_]*)\.)?([a-z][a-z0-9_]*):([^\x00-\x1f:]{1,64})")


def _tags(rulebook: Rulebook, given: Sequence[str]) -> list[list[str]]:
    if len(given) > VALUES_MAX:
        raise BadParameter("tag", f"At most {VALUES_MAX} values.")
    wanted: dict[str, set[str]] = {}
    for text in given:
        if (match := _TAG.fullmatch(text)) is None:
            raise BadParameter("tag", "A tag is NAME:VALUE or FAMILY.NAME:VALUE: browsing:high.")
        family, name, value = match.groups()
        found = [tag for tag in rulebook.tags if tag.name == name and family in (None, tag.family)]
        if not found:
            raise BadParameter("tag", f"The tags are {', '.join(sorted(tag.name for tag in rulebook.tags))}.")
        if not any(value in tag.values for tag in found):
            values = sorted({known for tag in found for known in tag.values})
            raise BadParameter("tag", f"The values of {name} are {', '.join(values)}.")
        wanted.setdefault(name, set()).update(f"{tag.family}.{name}:{value}" for tag in found)
    return [sorted(wanted[name]) for name in sorted(wanted)]
