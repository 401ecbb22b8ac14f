"""Everyone as they stood at a moment: their histories folded one after another, which takes some milliseconds each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.problem import Problem
from tierwise.security.keys import Reader
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.past import HistoryTooLong, OnlySums, read_past, read_states
from tierwise_profile_api.view import past_view

PAGE: Final = 20

_encoder = msgspec.json.Encoder()


class ExportRunning(Problem):
    status, code, title = 409, "export_running", "Another export folds histories here"


async def past_views(
    source: Backend, filters: Filters, after: int, shown: Callable[[int], Awaitable[dict[str, Any] | None]]
) -> AsyncIterator[bytes]:
    """What `shown` gives of each as lines of JSON. Raises ExportRunning before anything is read; Unavailable."""
    if source.exporting.locked():
        raise ExportRunning("One at a time: wait until it is done, or ask another process.")
    async with source.exporting:
        while True:
            ids = await _ids(source, filters, after)
            lines = [await shown(number) for number in ids]
            yield _encoder.encode_lines([line for line in lines if line is not None])
            if len(ids) < PAGE:
                return
            after = ids[-1]


async def customers_of(source: Backend, filters: Filters, after: int) -> int:
    """How many there are to look at. Raises Unavailable."""
    place = len(filters.values) + 1
    [[customers]] = await source.reads.rows(
        f"SELECT count(*) FROM customer_facets f WHERE {filters.sql} AND f.customer_id > ${place}::bigint",
        *filters.values,
        after,
    )
    return int(customers)


async def _ids(source: Backend, filters: Filters, after: int) -> Sequence[int]:
    place = len(filters.values) + 1
    rows = await source.reads.rows(
        f"""SELECT f.customer_id FROM customer_facets f
            WHERE {filters.sql} AND f.customer_id > ${place}::bigint ORDER BY f.customer_id LIMIT {PAGE}""",
        *filters.values,
        after,
    )
    return [row[0] for row in rows]


def as_they_stood(
    source: Backend, reader: Reader, time: datetime, *, current: bool, language: str
) -> Callable[[int], Awaitable[dict[str, Any] | None]]:
    """The view of a customer as of `time`; None of those who had not been seen by then. `current`: by the rulebook in
    force now."""

    async def shown(number: int) -> dict[str, Any] | None:
        try:
            past = await read_past(source, number, time)
            states = [] if past is None else await read_states(source, past, [time], current=current)
        except (HistoryTooLong, OnlySums) as error:
            return {"customer_id": public_id(number), "as_of": rfc3339(time), "problem": error.members()}
        if past is None or not states:
            return None
        state, rulebook = states[0]
        return await past_view(past, state, rulebook, source, reader, language=language)

    return shown
