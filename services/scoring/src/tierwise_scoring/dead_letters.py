"""Dead letters: the records that scoring could not use, to be looked at and given another go."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.tables import dead_letters
from tierwise.domain import unmapped
from tierwise.problem import NotFound, Problem
from tierwise.security.personal import Vault
from tierwise.stream.port import Outgoing, RecordTooLarge, Stream
from tierwise.stream.topics import INTERACTIONS

_TABLE: Final = dead_letters.c
_AT_ONCE: Final = 100  # a record has at most 1 MB
READ_AGAIN: Final = "what a webhook sent and could not be mapped is read again by `tierwise remap`"


class NotReplayable(Problem):
    """The stream takes no record as large as this one (another producer's limit was higher), or it is a request."""

    status, code, title = 413, "not_replayable", "The record cannot be replayed"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table `dead_letters`, without the record's bytes. `detail` says nothing of their content."""

    id: int
    reason: str
    detail: str
    topic: str
    partition: int
    position: int
    created_at: datetime
    replayed_at: datetime | None


_LETTER: Final = [_TABLE[name] for name in Letter.__struct_fields__]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters: those of `ids`, or else all that were not replayed yet, of one `reason` or of any but unmapped."""

    ids: Collection[int] = ()
    reason: str | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        if self.ids:
            return _TABLE.id.in_(self.ids)
        of_reason = true() if self.reason is None else _TABLE.reason == self.reason
        return _TABLE.replayed_at.is_(None) & of_reason & (_TABLE.reason != unmapped.REASON)


async def list_letters(
    connection: AsyncConnection, *, reason: str | None = None, replayed: bool = False, limit: int = 50
) -> list[Letter]:
    """The newest first; with `replayed` those too that were replayed."""
    query = select(*_LETTER).order_by(_TABLE.id.desc()).limit(limit)
    if reason is not None:
        query = query.where(_TABLE.reason == reason)
    if not replayed:
        query = query.where(_TABLE.replayed_at.is_(None))
    return [Letter(**row._mapping) for row in await connection.execute(query)]


async def show_letter(connection: AsyncConnection, vault: Vault, letter_id: int) -> tuple[Letter, bytes | None, bytes]:
    """The letter, and its record's key and value, which may hold personal data. Raises NotFound, NotSealedHere."""
    query = select(*_LETTER, _TABLE.record_key, _TABLE.ciphertext).where(_TABLE.id == letter_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    held: dict[str, Any] = dict(row._mapping)
    key, value = held.pop("record_key"), vault.open(held.pop("ciphertext"))
    return Letter(**held), key, value


async def count(engine: AsyncEngine, chosen: Chosen) -> int:
    """Of the letters chosen. Raises NotFound naming the ids that are none, NotReplayable those that are requests."""
    async with engine.connect() as connection:
        if chosen.ids:
            rows = await connection.execute(select(_TABLE.id, _TABLE.reason).where(chosen.condition))
            known = {row.id: row.reason for row in rows}
            if missing := set(chosen.ids) - known.keys():
                raise NotFound(f"there is no dead letter {_listed(missing)}: nothing was replayed")
            if requests := [id_ for id_, reason in known.items() if reason == unmapped.REASON]:
                raise NotReplayable(f"dead letter {_listed(requests)}: {READ_AGAIN}; nothing was replayed")
            return len(known)
        return (await connection.execute(select(func.count()).where(chosen.condition))).scalar_one()


async def count_unmapped(engine: AsyncEngine) -> int:
    """Of the letters that wait for `tierwise remap`."""
    async with engine.connect() as connection:
        query = select(func.count()).where(_TABLE.replayed_at.is_(None), _TABLE.reason == unmapped.REASON)
        return (await connection.execute(query)).scalar_one()


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(ids)))


async def replay(
    engine: AsyncEngine,
    stream: Stream,
    vault: Vault,
    chosen: Chosen,
    progressed: Callable[[int], None] = lambda _: None,
) -> int:
    """Append the records to the topic of interactions again, as they were. Returns how many; `progressed` is told
    meanwhile. One that still cannot be used becomes a new dead letter.

    A letter is marked as replayed after the stream has its record: a crash in between replays it twice, which is
    counted once, and never not at all. Raises NotReplayable, StreamUnavailable.
    """
    done = 0
    async for batch in _batches(engine, vault, chosen):
        try:
            await stream.append(INTERACTIONS, [record for _, record in batch])
        except RecordTooLarge as error:
            raise NotReplayable(f"dead letter {batch[error.index][0]}: {error}") from error
        async with engine.begin() as connection:
            ids = [id_ for id_, _ in batch]
            await connection.execute(update(dead_letters).where(_TABLE.id.in_(ids)).values(replayed_at=func.now()))
        done += len(batch)
        progressed(done)
    return done


async def _batches(engine: AsyncEngine, vault: Vault, chosen: Chosen) -> AsyncIterator[list[tuple[int, Outgoing]]]:
    """(id, record), by id; those that come while it runs are not among them."""
    async with engine.connect() as connection:
        newest = (await connection.execute(select(func.max(_TABLE.id)))).scalar_one() or 0
    last = 0
    while True:
        async with engine.connect() as connection:
            rows = (await connection.execute(_following(chosen, last, newest))).all()
        if not rows:
            return
        yield [(id_, Outgoing(key=key or b"", value=vault.open(ciphertext))) for id_, key, ciphertext in rows]
        last = rows[-1][0]


def _following(chosen: Chosen, last: int, newest: int) -> Select[Any]:
    return (
        select(_TABLE.id, _TABLE.record_key, _TABLE.ciphertext)
        .where(chosen.condition, _TABLE.id > last, _TABLE.id <= newest)
        .order_by(_TABLE.id)
        .limit(_AT_ONCE)
    )
