"""Dead letters that are requests are read again by their format, as the source and the format are now."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.tables import dead_letters, sources
from tierwise.domain import unmapped
from tierwise.domain.claim import Admitted, Terms
from tierwise.domain.interaction import strongest
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source
from tierwise.domain.unmapped import Unmapped
from tierwise.problem import Problem
from tierwise.security.keys import source_of
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.port import Outgoing, Stream
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.formats.format import Item
from tierwise_ingest.formats.table import FORMATS
from tierwise_ingest.judge import Judge
from tierwise_ingest.metrics import IngestMetrics
from tierwise_ingest.request import Request

_AT_ONCE: Final = 20  # a request has a few MB
_FORMATS: Final = {one.name: one for one in FORMATS}
_TABLE: Final = dead_letters.c


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters: those of one `source` or of any, with the one `code` of what was wrong or with any."""

    source: str | None = None
    code: str | None = None

    def holds(self, letter: Unmapped) -> bool:
        return self.source in (None, letter.source) and self.code in (None, letter.code)


class Why(NamedTuple):
    source: str
    format: str
    code: str


@dataclass(slots=True)
class Remapped:
    """`letters`: how many were chosen. `mapped`: those of which nothing is left to map. `interactions`: appended, also
    of letters that are not mapped whole. `left`: the others, by what is wrong first."""

    letters: int = 0
    mapped: int = 0
    interactions: int = 0
    left: Counter[Why] = field(default_factory=Counter)


class Reading(NamedTuple):
    """What a letter is now. `wrong`: of the first item that cannot be mapped, None where all can."""

    admitted: Sequence[Admitted]
    wrong: str | None


class Rereader:
    """Reads letters in their formats, on the terms of their arrival."""

    def __init__(self, known: dict[str, Source], settings: Settings, content_key: bytes) -> None:
        days = settings.deduplication_horizon_days
        self._horizon = None if days is None else timedelta(days=days)
        self._sources, self._settings, self._content_key = known, settings, content_key
        self._judge = Judge(IngestMetrics(CollectorRegistry()))

    def read(self, letter_id: int, letter: Unmapped) -> Reading:
        format_, source = _FORMATS.get(letter.format), self._sources.get(letter.source)
        if format_ is None or source is None:
            return Reading((), "unknown_format" if format_ is None else "unknown_source")
        if self._horizon is not None and letter.received < datetime.now(UTC) - self._horizon:
            return Reading((), "older_than_horizon")  # what it was taken of then is no longer known
        request = _request_of(letter)
        try:
            items = list(
                self._judge.judged(format_.read(request, self._terms(letter_id, letter, source, request)), source)
            )
        except Problem as error:
            return Reading((), error.code)
        wrong = next((item.code for item in items if isinstance(item, InvalidInteraction)), None)
        return Reading(list(_new(items, letter)), wrong)

    def _terms(self, letter_id: int, letter: Unmapped, source: Source, request: Request) -> Terms:
        ordinals = count()
        return Terms(
            source=source,
            received=letter.received,
            new_id=lambda: f"letter-{letter_id}-{next(ordinals)}",
            horizon=self._horizon,
            depth_max=self._settings.ingest_depth_max,
            item_bytes_max=self._settings.ingest_item_bytes_max,
            items_max=self._settings.ingest_items_max,
            content_key=self._content_key,
            consented=not request.asks_not_to_be_tracked,
        )


def _new(items: Sequence[Item], letter: Unmapped) -> Iterator[Admitted]:
    """Those that are known again if they were taken then, and those that were not."""
    for index, item in enumerate(items):
        if isinstance(item, Admitted) and (item.recognisable or not letter.indexes or index in letter.indexes):
            yield item


def _request_of(letter: Unmapped) -> Request:
    return Request(
        method=letter.method,
        url=letter.path,
        parameters={"source": letter.source},
        query_string=letter.query.encode(),
        headers=[(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in letter.headers.items()],
        body=letter.body,
    )


async def waiting(engine: AsyncEngine) -> int:
    """Letters that were not replayed yet, of all sources."""
    async with engine.connect() as connection:
        return (await connection.execute(select(func.count()).where(_open()))).scalar_one()


async def known_sources(engine: AsyncEngine) -> dict[str, Source]:
    """All by name, retired ones too: what they sent was theirs."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(sources.c.id, sources.c.name, sources.c.trust, sources.c.intake))
        return {row.name: source_of(row.id, row.name, row.trust, row.intake) for row in rows}


async def remap(
    engine: AsyncEngine,
    stream: Stream | None,
    vault: Vault,
    rereader: Rereader,
    chosen: Chosen,
    progressed: Callable[[int], None] = lambda _: None,
) -> Remapped:
    """Read the chosen letters again and append what they give. Without a stream nothing is appended or marked.

    A letter is marked as replayed after the stream has all of it: a crash in between reads it twice, which is counted
    once. Raises StreamUnavailable.
    """
    result, done = Remapped(), 0
    async for batch in _batches(engine, vault):
        records: list[Outgoing] = []
        mapped: list[int] = []
        for letter_id, letter in batch:
            if not chosen.holds(letter):
                continue
            reading = rereader.read(letter_id, letter)
            records += [_record(vault, one) for one in reading.admitted]
            result.letters += 1
            if reading.wrong is None:
                mapped.append(letter_id)
            else:
                result.left[Why(letter.source, letter.format, reading.wrong)] += 1
        if stream is not None:
            await _store(engine, stream, records, mapped)
        result.mapped += len(mapped)
        result.interactions += len(records)
        done += len(batch)
        progressed(done)
    return result


def _record(vault: Vault, item: Admitted) -> Outgoing:
    return Outgoing(vault.identifier_hash(*strongest(item.interaction.identifiers)), item.encoded)


async def _store(engine: AsyncEngine, stream: Stream, records: Sequence[Outgoing], mapped: Sequence[int]) -> None:
    if records:
        await stream.append(INTERACTIONS, records)
    if mapped:
        async with engine.begin() as connection:
            await connection.execute(update(dead_letters).where(_TABLE.id.in_(mapped)).values(replayed_at=func.now()))


async def _batches(engine: AsyncEngine, vault: Vault) -> AsyncIterator[list[tuple[int, Unmapped]]]:
    """(id, request), by id; those that come while it runs are not among them."""
    async with engine.connect() as connection:
        newest = (await connection.execute(select(func.max(_TABLE.id)))).scalar_one() or 0
    last = 0
    while True:
        query: Any = select(_TABLE.id, _TABLE.ciphertext).where(_open(), _TABLE.id > last, _TABLE.id <= newest)
        async with engine.connect() as connection:
            rows = (await connection.execute(query.order_by(_TABLE.id).limit(_AT_ONCE))).all()
        if not rows:
            return
        yield [(id_, unmapped.decode(vault.open(ciphertext))) for id_, ciphertext in rows]
        last = rows[-1][0]


def _open() -> ColumnElement[bool]:
    return (_TABLE.reason == unmapped.REASON) & _TABLE.replayed_at.is_(None)
