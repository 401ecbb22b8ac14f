"""Poison: interactions that make processing fail, each by itself, are found by halving and become dead letters.

The positions stay in the batch, so they move with what is left of it: the neighbours lose nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from tierwise.db.engine import DATABASE_ERRORS, is_transient
from tierwise_scoring.batch import Batch, DeadLetter

log = structlog.get_logger()

RECORD_FAULTS: Final = (ValueError, TypeError, ArithmeticError, LookupError)
"""What a single interaction may raise while it is processed, beside what the database refuses."""

_SHARE_MAX: Final = 0.5  # where more of a batch fails than this, the fault is not the records'

Trial = Callable[[Batch], Awaitable[None]]
"""Processes a batch and takes everything back."""


async def without_culprits(batch: Batch, fault: Exception, trial: Trial) -> Batch:
    """The batch with the interactions that fail as dead letters. Raises `fault` where it lies elsewhere, and what
    `trial` raises that is not for the records: the database is away, a position is taken."""
    culprits = await _culprits(batch, range(len(batch.interactions)), trial)
    if not culprits or len(culprits) > max(1, _SHARE_MAX * len(batch.interactions)):
        raise fault
    log.error("interactions_fail", count=len(culprits), error=type(fault).__name__)
    letters = [
        DeadLetter(*batch.records[index], "unprocessable", f"{type(why).__name__} while it was processed")
        for index, why in culprits.items()
    ]
    kept = [index for index in range(len(batch.interactions)) if index not in culprits]
    return replace(
        batch,
        interactions=[batch.interactions[index] for index in kept],
        records=[batch.records[index] for index in kept],
        dead_letters=[*batch.dead_letters, *letters],
    )


async def _culprits(batch: Batch, part: Sequence[int], trial: Trial) -> dict[int, Exception]:
    try:
        await trial(replace(batch, interactions=[batch.interactions[index] for index in part], dead_letters=[]))
    except (*DATABASE_ERRORS, *RECORD_FAULTS) as error:
        if is_transient(error):
            raise
        fault = error
    else:
        return {}
    if len(part) == 1:
        return {part[0]: fault}
    half = len(part) // 2
    return await _culprits(batch, part[:half], trial) | await _culprits(batch, part[half:], trial)
