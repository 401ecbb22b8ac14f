"""A customer's past, folded from what is stored of them, away from the event loop and a few at a time."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tierwise.domain.change import rfc3339
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook
from tierwise.folding.checkpoints import Checkpoint, checkpoint_of, joined
from tierwise.folding.past import Came, State, named_at, states
from tierwise.folding.refold import stored_interaction
from tierwise.problem import Problem, Unavailable
from tierwise_profile_api import queries
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.reads import Row

INTERACTIONS_MAX: Final = 50_000
"""Of one customer: some 50 MB, and 0.6 s of a core to fold."""

_WAIT_S: Final = 5.0
_READS: Final = 5

T = TypeVar("T")


class OnlySums(Problem):
    status, code, title = 410, "only_sums", "Of what happened then only the sums are kept"


class HistoryTooLong(Problem):
    status, code, title = 400, "history_too_long", "More has happened than is folded in one request"


@dataclass(frozen=True, slots=True)
class Past:
    """What is known today of a customer up to a time. `id`: the winner's, where they were merged. `rows`: by time.
    `checkpoint`: what came before that is not stored any more."""

    id: int
    rows: Sequence[Row]
    checkpoint: Checkpoint | None = None

    def identifiers(self, until: datetime) -> list[bytes]:
        """Hashes of those that interactions came with by then."""
        summed = () if self.checkpoint is None else self.checkpoint.identifiers
        return list({*summed, *(one for row in self.rows if row["time"] <= until for one in row["identifiers"])})


async def read_past(source: Backend, customer: int, until: datetime) -> Past | None:
    """None: there is no such customer. Raises HistoryTooLong, Unavailable."""
    rows, checkpoint = await _read(source, customer, until)
    if not rows:
        return None
    if len(rows) > INTERACTIONS_MAX:
        raise HistoryTooLong(
            f"More than {INTERACTIONS_MAX:,} interactions by then: `tierwise classify --as-of` folds histories of any "
            "length from a file."
        )
    return Past(rows[0]["winner"], [row for row in rows if row["key"] is not None], checkpoint)


async def _read(source: Backend, customer: int, until: datetime) -> tuple[list[Row], Checkpoint | None]:
    """Of one state: what leaves the table for the checkpoints meanwhile is in neither or in both, and read again."""
    for _ in range(_READS):
        rows = await source.reads.rows(queries.PAST, customer, until, INTERACTIONS_MAX + 1)
        if not rows or not rows[0]["summed"]:
            return rows, None
        held = [checkpoint_of(row) for row in await source.reads.rows(queries.CHECKPOINTS, customer)]
        [one] = joined((replace(part, customer_id=customer) for part in held), fold_version=0)
        if one.interactions == rows[0]["summed"]:
            return rows, one
    raise Unavailable("The customer's older interactions are being summed up.", retry_after_s=5)


async def read_states(
    source: Backend, past: Past, times: Sequence[datetime], *, current: bool
) -> list[tuple[State, Rulebook]]:
    """At each of `times`, which ascend, and by the rulebook and cuts of then, or, when `current`, by those in force
    now; none before the first interaction. Raises OnlySums, Unavailable."""
    by_rulebook: defaultdict[tuple[int, int | None], list[datetime]] = defaultdict(list)
    for time, named in zip(times, await _named(source, times, current=current), strict=True):
        by_rulebook[named].append(time)
    found: list[tuple[State, Rulebook]] = []
    for named, members in by_rulebook.items():
        rulebook = await source.rulebook(*named)
        found += [(state, rulebook) for state in await fold_past(source, past, members, rulebook)]
    return sorted(found, key=lambda one: one[0].time)


async def fold_past(source: Backend, past: Past, times: Sequence[datetime], rulebook: Rulebook) -> list[State]:
    """Raises OnlySums, and Unavailable while others are folded for too long."""
    if past.checkpoint is not None and times[0] < past.checkpoint.before:
        raise OnlySums(
            f"What the customer did before {rfc3339(past.checkpoint.before)} is kept as sums: ask for a time from then "
            "on. The changes of then tell what was published."
        )

    def fold() -> list[State]:
        history: list[Interaction] = [stored_interaction(row, row["source"], source.vault) for row in past.rows]
        return states(history, times, rulebook, source.vault, past.checkpoint)

    return await folded(source, fold)


async def folded(source: Backend, work: Callable[[], T]) -> T:
    """`work` in a thread, in its turn. Raises Unavailable where that does not come soon."""
    try:
        async with asyncio.timeout(_WAIT_S):
            await source.folding.acquire()
    except TimeoutError as error:
        raise Unavailable("Other histories are being folded.", retry_after_s=5) from error
    try:
        return await asyncio.to_thread(work)
    finally:
        source.folding.release()


async def _named(source: Backend, times: Sequence[datetime], *, current: bool) -> list[tuple[int, int | None]]:
    rulebooks = [Came(*row) for row in await source.reads.rows(queries.RULEBOOKS_CAME)]
    cuts = [Came(*row) for row in await source.reads.rows(queries.CUTS_CAME)]
    if not rulebooks:
        raise Unavailable("The database has no rulebook yet: run `tierwise migrate`.", retry_after_s=5)
    if current:
        now = max(one.at for one in rulebooks + cuts) + timedelta(microseconds=1)
        return [named_at(now, rulebooks, cuts)] * len(times)
    return [named_at(time, rulebooks, cuts) for time in times]
