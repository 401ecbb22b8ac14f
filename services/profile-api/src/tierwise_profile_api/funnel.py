"""The funnel: how many customers came how far on the way from prospect to loyal."""

from collections.abc import Sequence
from typing import Any, Final

from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page
from tierwise_profile_api.parameters import BadParameter
from tierwise_profile_api.reads import Row

_WAY: Final = ("prospect", "interested", "new", "active", "mature", "loyal")


def way_of(asked: Sequence[str], rulebook: Rulebook) -> list[str]:
    """The stages asked for, in that order; else those that lead from prospect to loyal. Raises BadParameter."""
    known = rulebook.stage_names
    for stage in asked:
        if stage not in known:
            raise BadParameter("step", f"The stages are {', '.join(known)}.")
    return list(dict.fromkeys(asked)) or [stage for stage in _WAY if stage in known] or list(reversed(known))


def funnel_statement(filters: Filters, way: Sequence[str]) -> Page:
    """Rows of (step, customers): how many came to the step, the first is 1, and no further. What those did who were
    merged counts for whom they were merged into: few, so that all others are read in the order of an index."""
    step = f'max(array_position(${len(filters.values) + 1}::text[], c."to"))'
    return Page(
        f"""WITH parts AS (
                SELECT id, merged_into AS whole FROM customers WHERE merged_into IS NOT NULL
                UNION SELECT merged_into, merged_into FROM customers WHERE merged_into IS NOT NULL
            ),
            reached AS (
                SELECT c.customer_id AS id, {step} AS step FROM changes c
                WHERE c.aspect = 'lifecycle' AND c.customer_id NOT IN (SELECT id FROM parts) GROUP BY 1
                UNION ALL
                SELECT parts.whole, {step} FROM parts JOIN changes c ON c.customer_id = parts.id
                WHERE c.aspect = 'lifecycle' GROUP BY 1
            )
            SELECT reached.step, count(*) AS customers
            FROM reached JOIN customer_facets f ON f.customer_id = reached.id
            WHERE reached.step IS NOT NULL AND {filters.sql} GROUP BY 1""",
        [*filters.values, list(way)],
    )


def funnel_steps(rows: Sequence[Row], way: Sequence[str], rulebook: Rulebook) -> list[dict[str, Any]]:
    """Who came to a step came to those before it. `of_before`, `of_all`: shares of those at the step before and at
    the first one; None where those are nobody."""
    ended = {row["step"]: row["customers"] for row in rows}
    came = [sum(ended.get(step, 0) for step in range(place, len(way) + 1)) for place in range(1, len(way) + 1)]
    return [
        {
            "stage": stage,
            "label": rulebook.label(stage),
            "customers": came[place],
            "of_before": _share(came[place], came[max(place - 1, 0)]),
            "of_all": _share(came[place], came[0]),
        }
        for place, stage in enumerate(way)
    ]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
