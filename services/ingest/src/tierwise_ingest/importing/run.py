"""An import from end to end: rows, interactions, batches, the stream."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.tables import stream_positions
from tierwise.domain.interaction import strongest
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows
from tierwise.security.personal import Vault
from tierwise.stream.port import Outgoing, Partition, Stream, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.importing.repeats import Repeats, Told, told

STREAM_PATIENCE_S = 120.0


@dataclass(slots=True)
class Counts:
    """Of one import: rows read, interactions `accepted` (the log has them), rows `rejected`. Of those accepted, `known`
    repeat an id that stood there before, and so change nothing; `conflicting` do so with another content."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    known: int = 0
    conflicting: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    records: list[Outgoing]
    told: list[Told]
    rejected: list[Rejected]
    rows: int


async def import_rows(
    rows: Rows,
    preparer: Preparer,
    *,
    stream: Stream,
    engine: AsyncEngine,
    vault: Vault,
    batch_size: int,
    rejected: Callable[[Rejected], None],
    progressed: Callable[[Counts], None],
) -> Counts:
    """Append every interaction of `rows`, `batch_size` rows at a time; the next batch is read while the log flushes.
    `rejected` is told of conflicting repeats too.

    Nothing is counted as accepted before the log has it. Raises StreamUnavailable when the stream stays away, and
    UnreadableFile; running the import again is safe after either.
    """
    counts = Counts()
    batches = _batches(rows, preparer, vault, batch_size)
    appending: asyncio.Task[None] | None = None
    with Repeats() as repeats:
        try:
            batch = await asyncio.to_thread(next, batches, None)
            while batch is not None:
                conflicts = await repeats.of(batch.told, engine)
                appending = asyncio.create_task(_append(stream, batch.records))
                following = await asyncio.to_thread(next, batches, None)
                await appending
                counts.rows += batch.rows
                counts.accepted += len(batch.records)
                counts.rejected += len(batch.rejected)
                counts.known, counts.conflicting = repeats.known, repeats.conflicting
                for one in sorted([*batch.rejected, *conflicts], key=lambda one: one.line):
                    rejected(one)
                progressed(counts)
                batch = following
        finally:
            if appending is not None and not appending.done():
                appending.cancel()
    return counts


def _batches(rows: Rows, preparer: Preparer, vault: Vault, batch_size: int) -> Iterator[_Batch]:
    lines = iter(rows)
    while taken := list(islice(lines, batch_size)):
        records: list[Outgoing] = []
        told_of: list[Told] = []
        rejected: list[Rejected] = []
        for line, outcome in zip(taken, map(preparer, taken), strict=True):
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
                continue
            for admitted in outcome:
                interaction, encoded = admitted.interaction, admitted.encoded
                records.append(Outgoing(vault.identifier_hash(*strongest(interaction.identifiers)), encoded))
                told_of.append(told(line.number, interaction))
        yield _Batch(records, told_of, rejected, len(taken))


async def _append(stream: Stream, records: list[Outgoing]) -> None:
    """Again and again while the stream is away: what was appended twice dies in the database."""
    if not records:
        return
    give_up_at = monotonic() + STREAM_PATIENCE_S
    pause_s = 0.2
    while True:
        try:
            await stream.append(INTERACTIONS, records)
        except StreamUnavailable:
            if monotonic() + pause_s > give_up_at:
                raise
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (spreads retries)
            pause_s = min(pause_s * 2, 10.0)
        else:
            return


class NotScored(Exception):  # noqa: N818
    """Scoring did not move for a while: it is not running, or it waits for something."""


async def wait_until_scored(
    engine: AsyncEngine, ends: Mapping[Partition, int], *, patience_s: float, progressed: Callable[[int, int], None]
) -> None:
    """Until scoring's positions have passed `ends`. `progressed(done, all)` is called with records. Raises NotScored
    when nothing moves for `patience_s`."""
    first: int | None = None
    last, moved_at = -1, monotonic()
    while True:
        left = await behind(engine, ends)
        first = left if first is None else first
        progressed(first - left, first)
        if left == 0:
            return
        if left != last:
            last, moved_at = left, monotonic()
        elif monotonic() - moved_at > patience_s:
            raise NotScored(f"{left} records wait to be scored and nothing has moved for {patience_s:.0f} s")
        await asyncio.sleep(0.1)


async def behind(engine: AsyncEngine, ends: Mapping[Partition, int]) -> int:
    """Records before `ends` that scoring has not passed yet."""
    async with engine.connect() as connection:
        found = await connection.execute(
            select(
                stream_positions.c.cluster,
                stream_positions.c.topic_id,
                stream_positions.c.partition,
                stream_positions.c.position,
            ).where(stream_positions.c.topic == INTERACTIONS)
        )
        positions = {(cluster, topic_id, index): position for cluster, topic_id, index, position in found}
    return sum(max(end - positions.get((p.cluster, p.topic_id, p.index), 0), 0) for p, end in ends.items())
