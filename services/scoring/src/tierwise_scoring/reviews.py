"""The table `reviews`: when each customer is to be classified again because time passes."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
import numpy as np

from tierwise.domain.ledger import Ints
from tierwise.domain.review import NEVER
from tierwise.domain.rulebook import Rulebook


class Due(NamedTuple):
    """`ids[i]` is due at `moments[i]`; those of `never` are not."""

    ids: list[int]
    moments: list[datetime]
    never: list[int]


def due_at(ids: Sequence[int], day: Ints, expiries: Sequence[datetime | None], rulebook: Rulebook) -> Due:
    """`day[i]`: the business day at whose midnight customer `ids[i]` is due, or NEVER; `expiries[i]`: the moment at
    which the first of its overrides ends, if any."""
    midnight: dict[int, datetime | None] = {
        number: rulebook.days.midnight(number) for number in np.unique(day[day != NEVER]).tolist()
    }
    midnights = [midnight.get(number) for number in day.tolist()]
    moments = [_earlier(pair) for pair in zip(midnights, expiries, strict=True)]
    due = [(id_, moment) for id_, moment in zip(ids, moments, strict=True) if moment is not None]
    never = [id_ for id_, moment in zip(ids, moments, strict=True) if moment is None]
    return Due([id_ for id_, _ in due], [moment for _, moment in due], never)


def _earlier(moments: tuple[datetime | None, datetime | None]) -> datetime | None:
    first, second = moments
    return first if second is None or (first is not None and first <= second) else second


async def write_reviews(tx: asyncpg.Connection, due: Due) -> None:
    """Writes only what changes: mostly the next midnight stands there already."""
    if due.ids:
        await tx.execute(
            """INSERT INTO reviews (customer_id, due)
               SELECT new.id, new.due FROM unnest($1::bigint[], $2::timestamptz[]) AS new (id, due)
                    LEFT JOIN reviews AS held ON held.customer_id = new.id
               WHERE held.due IS DISTINCT FROM new.due
               ON CONFLICT (customer_id) DO UPDATE SET due = excluded.due""",
            due.ids,
            due.moments,
        )
    if due.never:
        await tx.execute("DELETE FROM reviews WHERE customer_id = ANY($1::bigint[])", due.never)
