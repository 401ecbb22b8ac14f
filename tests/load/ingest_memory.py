"""Whether ingest's memory stays what it is, however much passes through."""

import os
import random
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from tests.load.bench import Result, benchmark
from tests.load.ingest import BATCH, ingest_on_kafka, interaction, measured

INTERACTIONS: Final = int(os.environ.get("TIERWISE_BENCH_INTERACTIONS", "10000000"))
FIRST: Final = 1_000_000
"""By then caches and the allocator's own reserves are full."""


@benchmark("ingest-memory")
async def ingest_memory() -> AsyncIterator[Result]:
    """Resident memory of the service after the last interaction, against that after the first million."""
    bodies = [
        msgspec.json.encode([interaction(random.Random(number)) for number in range(start, start + BATCH)])
        for start in range(0, 40 * BATCH, BATCH)
    ]
    async with ingest_on_kafka() as service:
        await measured(service, bodies, requests=FIRST // BATCH)
        early = service.process.memory_info().rss / 1e6
        await measured(service, bodies, requests=(INTERACTIONS - FIRST) // BATCH)
        late = service.process.memory_info().rss / 1e6
    yield Result(
        name="ingest-memory",
        value=late,
        unit=f"MB resident after {INTERACTIONS:,}",
        goal=early + 30,
        lower_is_better=True,
        baseline=f"after {FIRST:,}",
        baseline_value=early,
    )
