"""Statements that find and count customers: narrowed, ordered, page by page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import Query

from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api import queries
from tierwise_profile_api.facets import GROUPS
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.parameters import BadParameter

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


def page(filters: Filters, sort: str, after: tuple[int | datetime, int] | None, limit: int) -> Page:
    """The customers after a place: what one is sorted by, and its number. One whose value has moved past it meanwhile
    comes twice or not at all; all others come once, whatever happens between the pages."""
    column, type_ = _COLUMNS[sort.removeprefix("-")]
    direction, comparison = ("DESC", "<") if sort.startswith("-") else ("ASC", ">")
    values, sql = [*filters.values, limit], filters.sql
    number = len(values)
    if after is not None:
        sql += f" AND ({column}, f.customer_id) {comparison} (${number + 1}::{type_}, ${number + 2}::bigint)"
        values += after
    chosen = f"""SELECT f.customer_id AS id, {column} AS place FROM customer_facets f WHERE {sql}
        ORDER BY {column} {direction}, f.customer_id {direction} LIMIT ${number}"""
    return Page(queries.customers_chosen(chosen, f"place {direction}, c.id {direction}"), values)


def counting(filters: Filters, by: str | None, rulebook: Rulebook) -> Page:
    """Rows of (value, customers), the most frequent first; one of (None, customers) without `by`. Raises
    BadParameter."""
    source, values = "customer_facets f", list(filters.values)
    if by is None:
        return Page(f"SELECT NULL AS value, count(*) AS customers FROM {source} WHERE {filters.sql}", values)
    if by.startswith("tag:"):
        values.append(_stored_tags(by, rulebook))
        values_of = f"SELECT split_part(one, ':', 2) AS one FROM unnest(f.tags) AS one WHERE one = ANY (${len(values)})"
        source, value = f"{source} LEFT JOIN LATERAL ({values_of}) t ON true", "t.one"
    elif by == "interest":
        source, value = f"{source} LEFT JOIN LATERAL unnest(f.interests) AS t (one) ON true", "t.one"
    elif by in GROUPS:
        value = f"f.{by}"
    else:
        raise BadParameter("by", f"One of {', '.join(GROUPS)}, tag:NAME.")
    return Page(
        f"""SELECT {value} AS value, count(*) AS customers FROM {source} WHERE {filters.sql}
            GROUP BY 1 ORDER BY customers DESC, value""",
        values,
    )


def _stored_tags(by: str, rulebook: Rulebook) -> list[str]:
    name = by.removeprefix("tag:")
    found = [
        f"{tag.family}.{tag.name}:{value}"
        for tag in rulebook.tags
        if name in (tag.name, f"{tag.family}.{tag.name}")
        for value in tag.values
    ]
    if not found:
        raise BadParameter("by", f"The tags are {', '.join(sorted(tag.name for tag in rulebook.tags))}.")
    return found
