"""The jobs of `tierwise import`: a file onto the stream, a batch taken back, the first rows shown."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.db.tables import sources
from tierwise.domain.claim import Terms
from tierwise.domain.retraction import Retraction
from tierwise.domain.source import BACKEND, Source, Trust
from tierwise.files.apply import Mapper, mapper_for
from tierwise.files.mapping import Mapping
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows
from tierwise.files.report import Rejections, reading_progress
from tierwise.problem import NotFound
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.importing.batches import append_retraction, clock, stored_batches
from tierwise_ingest.importing.run import Counts, behind, import_rows, wait_until_scored

DRY_RUN_ROWS: Final = 5
SCORING_PATIENCE_S: Final = 20.0
_BATCHES_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for. `moment`: what the mapping's `time: import` means, aware; None: the arrival.
    `replaces`: what there is of the batch is taken back first."""

    file: Path
    source: str
    mapping: Mapping | None
    moment: datetime | None
    batch: str
    replaces: bool
    quiet: bool
    wait: bool
    batch_size: int
    errors: Path | None


class Opened(NamedTuple):
    engine: AsyncEngine
    vault: Vault
    stream: Stream


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """Raises Unavailable where the database is not at this version."""
    async with open_engine(settings) as engine:
        await migrate.check(engine)
        vault = await open_vault(engine, settings)
        async with open_stream(settings, engine, vault) as stream:
            yield Opened(engine, vault, stream)


async def import_file(request: Request, form: str, settings: Settings, console: Console) -> Counts:
    """Raises MappingError, UnreadableFile, StreamUnavailable, NotScored, and NotFound of a batch to be replaced."""
    async with AsyncExitStack() as stack:
        # The file first: what is wrong with it is told before anything is connected to.
        rows = stack.enter_context(Rows(request.file, request.mapping, form=form))
        mapper_for(rows.columns, request.mapping, moment=datetime.now(UTC))
        place = await stack.enter_async_context(opened(settings))
        if request.replaces:
            await _take_back(place, request.batch, quiet=request.quiet)
            await _wait(place, console)
        received = await clock(place.engine)
        mapper = mapper_for(rows.columns, request.mapping, moment=request.moment or received)
        source = await _source_named(place.engine, request.source)
        terms = _terms(source, settings, received, content_key=place.vault.key_hash("ids made from content"))
        with (
            Ordinals() as ordinals,
            Rejections.opened(request.errors, console) as rejections,
            reading_progress(console) as progress,
        ):
            task = progress.add_task(request.file.name, total=rows.size_bytes)
            counts = await import_rows(
                rows,
                _preparer(mapper, ordinals, terms, request, settings),
                stream=place.stream,
                engine=place.engine,
                vault=place.vault,
                batch_size=request.batch_size,
                rejected=rejections.add,
                progressed=lambda _: progress.update(task, completed=rows.done_bytes()),
            )
        if request.wait:
            await _wait(place, console)
        return counts


class Undone(NamedTuple):
    """`interactions`: how many are stored of a batch; 0 where it was taken back before. `summed`: how many more go on
    counting, since only their sums are stored."""

    interactions: int
    summed: int


async def undo(batch: str, settings: Settings, console: Console, *, quiet: bool, wait: bool) -> Undone:
    """Take a batch back. Raises NotFound, StreamUnavailable, NotScored."""
    async with opened(settings) as place:
        undone = await _take_back(place, batch, quiet=quiet)
        if wait:
            await _wait(place, console)
        return undone


async def _take_back(place: Opened, batch: str, *, quiet: bool) -> Undone:
    everything = await stored_batches(place.engine)
    held = next((one for one in everything if one.batch == batch), None)
    # What waits to be scored may be of it, and nobody can know: then the retraction is sent whatever is stored.
    if not await behind(place.engine, await place.stream.ends(INTERACTIONS)):
        if held is None:
            names = ", ".join(one.batch for one in everything[:_BATCHES_NAMED]) or "none"
            raise NotFound(f"there is no import {batch!r}; the latest ones are: {names} (--batches shows all)")
        if not held.interactions:
            return Undone(0, held.summed)
    moment = await clock(place.engine)
    await append_retraction(place.stream, Retraction(retracted_batch=batch, received_before=moment, quiet=quiet))
    return Undone(0, 0) if held is None else Undone(held.interactions, held.summed)


def show_first(request: Request, form: str, settings: Settings) -> None:
    """The first rows as interactions, indented JSON on stdout; nothing is opened but the file."""
    source = Source(id=0, name=request.source, trust=BACKEND)
    received = datetime.now(UTC)
    with Rows(request.file, request.mapping, form=form) as rows, Ordinals() as ordinals:
        preparer = _preparer(
            mapper_for(rows.columns, request.mapping, moment=request.moment or received),
            ordinals,
            _terms(source, settings, received),
            request,
            settings,
        )
        for line in islice(rows, DRY_RUN_ROWS):
            outcome = preparer(line)
            shown: dict[str, object] = {"line": line.number}
            if isinstance(outcome, Rejected):
                shown["rejected"] = outcome
            else:
                shown["interactions"] = [admitted.interaction for admitted in outcome]
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")


def _terms(source: Source, settings: Settings, received: datetime, *, content_key: bytes = b"") -> Terms:
    days = settings.deduplication_horizon_days
    return Terms(
        source=source,
        received=received,
        new_id=lambda: uuid4().hex,
        horizon=None if days is None else timedelta(days=days),
        depth_max=settings.ingest_depth_max,
        item_bytes_max=settings.ingest_item_bytes_max,
        content_key=content_key,
    )


def _preparer(
    mapper: Mapper | None, ordinals: Ordinals, terms: Terms, request: Request, settings: Settings
) -> Preparer:
    return Preparer(
        mapper,
        ordinals,
        terms,
        item_bytes_max=settings.ingest_item_bytes_max,
        batch=request.batch,
        quiet=request.quiet,
    )


async def _source_named(engine: AsyncEngine, name: str) -> Source:
    """The source of that name, made as a trusted one of the organisation's own when it is new."""
    async with engine.begin() as connection:
        new = insert(sources).values(name=name, trust=msgspec.to_builtins(BACKEND))
        await connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
        found = await connection.execute(select(sources.c.id, sources.c.trust).where(sources.c.name == name))
        number, trust = found.one()
    return Source(id=number, name=name, trust=msgspec.convert(trust, Trust))


async def _wait(place: Opened, console: Console) -> None:
    ends = dict(await place.stream.ends(INTERACTIONS))
    with Progress(
        TextColumn("scoring"), BarColumn(), MofNCompleteColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("scoring", total=None)
        await wait_until_scored(
            place.engine,
            ends,
            patience_s=SCORING_PATIENCE_S,
            progressed=lambda done, total: progress.update(task, completed=done, total=total),
        )
