"""Workers that come and go under load: the group divides its partitions anew all the time."""

import asyncio
from collections.abc import Sequence

from tests.support.product import Product
from tests.support.scoring import scored, worker
from tierwise.domain.interaction import Interaction
from tierwise.stream.port import StreamUnavailable

_AT_ONCE = 10


async def append_slowly(log: Product, given: Sequence[Interaction], *, over_s: float) -> None:
    """All of them, evenly over so many seconds, again where it is not known whether they are there."""
    pause_s = over_s * _AT_ONCE / len(given)
    for start in range(0, len(given), _AT_ONCE):
        while not await _appended(log, given[start : start + _AT_ONCE]):  # noqa: ASYNC110  (the stream recovers)
            await asyncio.sleep(pause_s)
        await asyncio.sleep(pause_s)


async def _appended(log: Product, given: Sequence[Interaction]) -> bool:
    try:
        await log.append(*given)
    except StreamUnavailable:
        return False
    return True


async def come_and_go(log: Product, given: Sequence[Interaction], *, every_s: float, times: int) -> None:
    """One worker stays, others come for so long and go again, as often as that; what is given is appended meanwhile,
    and scored when this returns."""
    settings = log.settings.model_copy(update={"scoring_batch_max": 20})
    staying = worker(log.engine, log.stream, log.vault, settings)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(staying.run())
        appending = tasks.create_task(append_slowly(log, given, over_s=every_s * times))
        for _ in range(times // 2):
            passing = worker(log.engine, log.stream, log.vault, settings)
            running = tasks.create_task(passing.run())
            await asyncio.sleep(every_s)
            passing.stop()
            await running
            await asyncio.sleep(every_s)
        await appending
        await scored(log.engine, log.stream)
        staying.stop()
