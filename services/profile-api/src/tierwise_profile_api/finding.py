"""Statements that find and count customers: narrowed, ordered, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import Query

from tierwise.db.facets import INTEREST
from tierwise.domain.rulebook.book import Rulebook, Tag
from tierwise.finding.conditions import GROUPS, Bound, any_tag
from tierwise_profile_api import queries
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.parameters import BadParameter
from tierwise_profile_api.reads import Reads, Row

_COLUMNS: Final = {
    "customer_id": ("f.customer_id", "bigint"),
    "intent.score": ("f.score", "int"),
    "tier.score": ("f.tier_score", "int"),
    "last_seen": ("f.last_seen", "timestamptz"),
}

Sort = Annotated[
    Literal[
        "customer_id", "intent.score", "tier.score", "last_seen",
        "-customer_id", "-intent.score", "-tier.score", "-last_seen",
    ],
    Query(description="By this, with - in front the greatest first; equals by the order in which customers came."),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """A statement and what its parameters are. Each row of a list has `place`, what it is sorted by."""

    statement: str
    values: list[object]


After = tuple[int | datetime, int] | None

NEAR: Final = 5_000
"""Customers among whom a page by id is looked for first."""


async def listed(reads: Reads, filters: Filters, sort: str, after: After, limit: int) -> Sequence[Row]:
    """Rows of `page`. By id the next ones are walked along first, which is quick where many fit; to find few that way
    takes longer than to read everyone side by side. Raises Unavailable."""
    if sort.removeprefix("-") != "customer_id":
        asking = page(filters, sort, after, limit)
        return await reads.rows(asking.statement, *asking.values)
    near = page(filters, sort, after, limit, near=True)
    rows: Sequence[Row] = await reads.rows(near.statement, *near.values)
    if len(rows) == limit:
        return rows
    asking = page(filters, sort, after, limit, walked=False)
    return await reads.rows(asking.statement, *asking.values)


def page(filters: Filters, sort: str, after: After, limit: int, *, near: bool = False, walked: bool = True) -> Page:
    """The customers after a place: what one is sorted by, and its number. One whose value has moved past it meanwhile
    comes twice or not at all; all others come once, whatever happens between the pages. `near`: by id, of the NEAR next
    ones alone. `walked`: a plan may walk along the key."""
    column, type_ = _COLUMNS[sort.removeprefix("-")]
    direction, comparison = ("DESC", "<") if sort.startswith("-") else ("ASC", ">")
    values, place = [*filters.values, limit], "true"
    number = len(values)
    if after is not None:
        place = f"({column}, f.customer_id) {comparison} (${number + 1}::{type_}, ${number + 2}::bigint)"
        values += after
    everyone = f"customer_facets f WHERE {place}"
    if near:
        everyone = f"(SELECT * FROM {everyone} ORDER BY f.customer_id {direction} LIMIT {NEAR}) f WHERE true"
    key = column if walked else f"{column} + 0"
    chosen = f"""SELECT f.customer_id AS id, {column} AS place FROM {everyone} AND {filters.sql}
        ORDER BY {key} {direction}, f.customer_id {direction} LIMIT ${number}"""
    return Page(queries.customers_chosen(chosen, f"place {direction}, c.id {direction}"), values)


def counting(filters: Filters, by: str | None, rulebook: Rulebook) -> Page:
    """Rows of (value, customers), the most frequent first; one of (None, customers) without `by`. Raises
    BadParameter."""
    if by is None:
        return Page(
            f"SELECT NULL AS value, count(*) AS customers FROM customer_facets f WHERE {filters.sql}", filters.values
        )
    if by.startswith("tag:"):
        return _counting_tag(filters, by.removeprefix("tag:"), rulebook)
    if by not in GROUPS:
        raise BadParameter("by", f"One of {', '.join(GROUPS)}, tag:NAME.")
    source, number = "customer_facets f", f"f.{by}"
    if by == INTEREST:
        source, number = f"{source} LEFT JOIN LATERAL unnest(f.interests) AS t (one) ON true", "t.one"
    return Page(
        f"""SELECT named.value, counted.customers
            FROM (SELECT {number} AS number, count(*) AS customers FROM {source} WHERE {filters.sql} GROUP BY 1) counted
                 LEFT JOIN facet_values named ON (named.facet, named.number) = ('{by}', counted.number)
            ORDER BY customers DESC, value""",
        filters.values,
    )


def _counting_tag(filters: Filters, name: str, rulebook: Rulebook) -> Page:
    bound = Bound(list(filters.values))
    tag = _tag_named(name, rulebook)
    whens = [
        f"WHEN {any_tag([f'{tag.family}.{tag.name}:{value}'], bound)} THEN {bound(value, 'text')}"
        for value in tag.values
    ]
    return Page(
        f"""SELECT CASE {" ".join(whens)} END AS value, count(*) AS customers
            FROM customer_facets f WHERE {filters.sql} GROUP BY 1 ORDER BY customers DESC, value""",
        bound.values,
    )


def _tag_named(name: str, rulebook: Rulebook) -> Tag:
    found = [tag for tag in rulebook.tags if name in (tag.name, f"{tag.family}.{tag.name}")]
    if not found:
        raise BadParameter("by", f"The tags are {', '.join(sorted(tag.name for tag in rulebook.tags))}.")
    if len(found) > 1:
        raise BadParameter("by", f"Say which: {', '.join(f'tag:{tag.family}.{tag.name}' for tag in found)}.")
    return found[0]
