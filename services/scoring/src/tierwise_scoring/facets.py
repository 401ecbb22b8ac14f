"""Facets: what lists filter by, one row a customer beside its classification."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg
import numpy as np
import numpy.typing as npt

from tierwise.domain.rulebook import Rulebook
from tierwise.domain.view import tags_of


class Facets(NamedTuple):
    """`tags`: `family.name:value`, sorted, so that rulebooks that say them in another order agree."""

    tier: str
    intent: str
    stage: str
    tags: list[str]


def facets_of(result: np.void, rulebook: Rulebook) -> Facets:
    return Facets(
        rulebook.tier_names[result["tier"]],
        rulebook.level_names[result["level"]],
        rulebook.stage_names[result["stage"]],
        sorted(f"{family}.{name}:{value}" for family, name, value in tags_of(result, rulebook)),
    )


def facets_moved(before: npt.NDArray[np.void], after: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Whether any facet is another one, by customer. Both are results in the layout of one rulebook."""
    moved: npt.NDArray[np.bool_] = (before["tags"] != after["tags"]).any(axis=1)
    for name in ("tier", "level", "stage"):
        moved |= before[name] != after[name]
    return moved


async def write_facets(tx: asyncpg.Connection, rows: Sequence[tuple[int, Facets]]) -> None:
    """Of each customer, by id: insert or replace."""
    if not rows:
        return
    ids, facets = zip(*rows, strict=True)
    tiers, levels, stages, tags = zip(*facets, strict=True)
    await tx.execute(
        """INSERT INTO customer_facets (customer_id, tier, intent, stage, tags)
           SELECT new.id, new.tier, new.intent, new.stage, string_to_array(new.tags, ',')
           FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
                AS new (id, tier, intent, stage, tags)
           ON CONFLICT (customer_id) DO UPDATE
           SET tier = excluded.tier, intent = excluded.intent, stage = excluded.stage, tags = excluded.tags""",
        ids,
        tiers,
        levels,
        stages,
        [",".join(names) for names in tags],
    )
