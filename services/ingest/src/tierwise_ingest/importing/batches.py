"""The batches of imports: what they are called, which there are, and taking one back by entries in the log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.tables import batches, interactions
from tierwise.domain.retraction import BATCH_CHARACTERS_MAX, Retraction, encode
from tierwise.stream.port import Outgoing, Stream
from tierwise.stream.topics import INTERACTIONS

_FILE_CHARACTERS_MAX = 100


class Stored(NamedTuple):
    """An import in the database. `retracted_before`: the last time that it was taken back; `summed`: how many more
    interactions there were, of which only the sums are stored, so that they cannot be taken back."""

    batch: str
    interactions: int
    retracted_before: datetime | None
    summed: int


def batch_of(file: Path) -> str:
    """The name of the batch of an import that was given none: the same for the same file, until it is written anew."""
    written = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    return f"{file.name[-_FILE_CHARACTERS_MAX:]}@{written:%Y-%m-%dT%H:%M:%SZ}"


def fault_of(name: str) -> str | None:
    """Why this is no name of a batch."""
    if not 0 < len(name) <= BATCH_CHARACTERS_MAX:
        return f"the name of a batch has 1 to {BATCH_CHARACTERS_MAX} characters"
    return None if name.isprintable() else "the name of a batch has no line breaks or control characters"


async def stored_batches(engine: AsyncEngine) -> list[Stored]:
    """The newest first. Reads the index of every imported interaction: some seconds for millions."""
    held = (
        select(interactions.c.batch_id, func.count().label("stored"))
        .where(interactions.c.batch_id != 0)
        .group_by(interactions.c.batch_id)
        .subquery()
    )
    query = (
        select(batches.c.name, func.coalesce(held.c.stored, 0), batches.c.retracted_before, batches.c.summed)
        .outerjoin(held, held.c.batch_id == batches.c.id)
        .order_by(batches.c.id.desc())
    )
    async with engine.connect() as connection:
        return [Stored(*row) for row in await connection.execute(query)]


async def clock(engine: AsyncEngine) -> datetime:
    """The database's, by which it is known what a retraction comes after: those who import and those who take back
    may sit at different machines."""
    async with engine.connect() as connection:
        moment: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return moment


async def append_retraction(stream: Stream, retraction: Retraction) -> None:
    """To every partition, so that what comes again in any of them comes after it. Raises StreamUnavailable."""
    value = encode(retraction)
    partitions = await stream.partitions(INTERACTIONS)
    await stream.append(INTERACTIONS, [Outgoing(b"", value, partition=one.index) for one in partitions])
