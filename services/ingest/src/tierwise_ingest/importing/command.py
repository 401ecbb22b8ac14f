"""`tierwise import`."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Annotated
from uuid import uuid4

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.db.tables import sources
from tierwise.domain.claim import Terms
from tierwise.domain.source import BACKEND, Source, Trust
from tierwise.files.apply import Mapper, mapper_for
from tierwise.files.mapping import Mapping, MappingError, load_mapping, ready_mappings
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows, UnreadableFile, form_of
from tierwise.files.report import Rejections, reading_progress
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Stream, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.importing.run import Counts, NotScored, import_rows, wait_until_scored

DRY_RUN_ROWS = 5
SCORING_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for. `moment`: what the mapping's `time: import` means, aware."""

    file: Path
    source: str
    mapping: Mapping | None
    moment: datetime
    quiet: bool
    wait: bool
    batch_size: int
    errors: Path | None


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, whitespace-separated, NDJSON or Parquet; .gz too", dir_okay=False)],
    source: Annotated[str, typer.Option(help="The source's name; made when it is new", show_default=False)],
    mapping: Annotated[
        str | None,
        typer.Option(help=f"How rows become interactions: a YAML file, or {', '.join(ready_mappings())}"),
    ] = None,
    time: Annotated[
        datetime | None,
        typer.Option(
            help="What the mapping's `time: import` means (RFC 3339); now when absent",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"],
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Changes are recorded but not published")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until scoring has passed what was imported")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one append")] = 2_000,
    errors: Annotated[
        Path | None, typer.Option(help="Write every rejected row here, as NDJSON", dir_okay=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first rows as they would be read")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON")] = False,
) -> None:
    """Import interactions from a file through the stream. Safe to run again.

    A row without an id is keyed by its content and its ordinal among equal rows, so the same file, shuffled or in other
    batches, gives the same interactions. A row whose content changed is another row.
    """
    console = Console(stderr=True)
    moment = time if time is None or time.tzinfo else time.replace(tzinfo=UTC)
    try:
        request = Request(
            file,
            source,
            load_mapping(mapping) if mapping else None,
            moment or datetime.now(UTC),
            quiet,
            wait,
            batch_size,
            errors,
        )
        form = form_of(file, request.mapping)
    except (MappingError, UnreadableFile) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    settings = Settings()
    try:
        if dry_run:
            _show_first(request, form, settings)
            return
        started = monotonic()
        counts = asyncio.run(_run(request, form, settings, console))
    except MappingError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except (UnreadableFile, StreamUnavailable, NotScored) as error:
        console.print(f"{error}{_advice(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    _report(counts, monotonic() - started, json=json)
    if counts.rejected and not counts.accepted:
        raise typer.Exit(1)


def _advice(error: Exception) -> str:
    if isinstance(error, NotScored):
        return ": is `tierwise scoring` (or `tierwise up`) running? The import itself is done."
    if isinstance(error, StreamUnavailable):
        return ": the stream is away. What was appended stays; run the import again when it is back."
    return ""


async def _run(request: Request, form: str, settings: Settings, console: Console) -> Counts:
    async with AsyncExitStack() as stack:
        # The file first: what is wrong with it is told before anything is connected to.
        rows = stack.enter_context(Rows(request.file, request.mapping, form=form))
        mapper = mapper_for(rows.columns, request.mapping, moment=request.moment)
        engine = await stack.enter_async_context(open_engine(settings))
        await migrate.check(engine)
        vault = await open_vault(engine, settings)
        stream = await stack.enter_async_context(open_stream(settings, engine, vault))
        source = await _source_named(engine, request.source)
        terms = _terms(source, settings, content_key=vault.key_hash("ids made from content"))
        with (
            Ordinals() as ordinals,
            Rejections.opened(request.errors, console) as rejections,
            reading_progress(console) as progress,
        ):
            task = progress.add_task(request.file.name, total=rows.size_bytes)
            counts = await import_rows(
                rows,
                _preparer(mapper, ordinals, terms, request, settings),
                stream=stream,
                vault=vault,
                batch_size=request.batch_size,
                rejected=rejections.add,
                progressed=lambda _: progress.update(task, completed=rows.done_bytes()),
            )
        if request.wait:
            await _wait(engine, stream, console)
        return counts


def _terms(source: Source, settings: Settings, *, content_key: bytes = b"") -> Terms:
    days = settings.deduplication_horizon_days
    return Terms(
        source=source,
        received=datetime.now(UTC),
        new_id=lambda: uuid4().hex,
        horizon=None if days is None else timedelta(days=days),
        depth_max=settings.ingest_depth_max,
        content_key=content_key,
    )


def _preparer(
    mapper: Mapper | None, ordinals: Ordinals, terms: Terms, request: Request, settings: Settings
) -> Preparer:
    return Preparer(mapper, ordinals, terms, item_bytes_max=settings.ingest_item_bytes_max, quiet=request.quiet)


async def _source_named(engine: AsyncEngine, name: str) -> Source:
    """The source of that name, made as a trusted one of the organisation's own when it is new."""
    async with engine.begin() as connection:
        new = insert(sources).values(name=name, trust=msgspec.to_builtins(BACKEND))
        await connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
        found = await connection.execute(select(sources.c.id, sources.c.trust).where(sources.c.name == name))
        number, trust = found.one()
    return Source(id=number, name=name, trust=msgspec.convert(trust, Trust))


async def _wait(engine: AsyncEngine, stream: Stream, console: Console) -> None:
    ends = dict(await stream.ends(INTERACTIONS))
    with Progress(
        TextColumn("scoring"), BarColumn(), MofNCompleteColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("scoring", total=None)
        await wait_until_scored(
            engine,
            ends,
            patience_s=SCORING_PATIENCE_S,
            progressed=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _show_first(request: Request, form: str, settings: Settings) -> None:
    """The first rows as interactions, indented JSON on stdout; nothing is opened but the file."""
    source = Source(id=0, name=request.source, trust=BACKEND)
    with Rows(request.file, request.mapping, form=form) as rows, Ordinals() as ordinals:
        preparer = _preparer(
            mapper_for(rows.columns, request.mapping, moment=request.moment),
            ordinals,
            _terms(source, settings),
            request,
            settings,
        )
        for line in islice(rows, DRY_RUN_ROWS):
            outcome = preparer(line)
            shown: dict[str, object] = {"line": line.number}
            if isinstance(outcome, Rejected):
                shown["rejected"] = outcome
            else:
                shown["interactions"] = [interaction for interaction, _, _ in outcome]
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")


def _report(counts: Counts, seconds: float, *, json: bool) -> None:
    if json:
        result = {"rows": counts.rows, "accepted": counts.accepted, "rejected": counts.rejected}
        sys.stdout.write(msgspec.json.encode(result | {"seconds": round(seconds, 2)}).decode() + "\n")
        return
    rate = counts.rows / seconds if seconds else 0.0
    sys.stdout.write(
        f"{counts.rows:,} rows: {counts.accepted:,} interactions accepted, {counts.rejected:,} rows rejected, "
        f"in {seconds:.1f} s ({rate:,.0f} rows/s)\n"
    )
