"""`tierwise import`."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from tierwise.files.mapping import MappingError, load_mapping, mapping_schema, ready_mappings
from tierwise.files.read import UnreadableFile, form_of
from tierwise.problem import NotFound
from tierwise.security.commands import told_as_wrong_use
from tierwise.security.source_document import InvalidSource, refuse_reserved
from tierwise.settings import Settings
from tierwise.stream.port import StreamUnavailable
from tierwise.table import show, show_json
from tierwise_ingest.importing.batches import Stored, batch_of, fault_of, stored_batches
from tierwise_ingest.importing.job import Request, Undone, import_file, opened, show_first, undo
from tierwise_ingest.importing.run import Counts, NotScored


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    file: Annotated[
        Path | None, typer.Argument(help="CSV, whitespace-separated, NDJSON or Parquet; .gz too", dir_okay=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="The source; made when it is new", show_default=False)
    ] = None,
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
    batch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the import is called; made of the file's name and date when absent"),
    ] = None,
    undo_: Annotated[
        str | None, typer.Option("--undo", metavar="BATCH", help="Take an import back; twice does no more than once")
    ] = None,
    replace: Annotated[
        str | None, typer.Option(metavar="BATCH", help="Take an import back, then import FILE in its place")
    ] = None,
    batches: Annotated[bool, typer.Option("--batches", help="Show the imports that there are")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Changes are recorded but not published")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until scoring has passed what was sent")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one append")] = 2_000,
    errors: Annotated[
        Path | None,
        typer.Option(
            help="Write every row that is rejected, or repeats an id wrongly, here, as NDJSON", dir_okay=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first rows as they would be read")] = False,
    schema: Annotated[
        bool, typer.Option("--mapping-schema", help="Print the JSON Schema of mapping files, for editors")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON")] = False,
) -> None:
    """Import interactions from a file through the stream, or take an import back. Safe to run again.

    A row without an id is keyed by its content and its ordinal among equal rows, so the same file, shuffled or in other
    batches, gives the same interactions. A row whose content changed is another row. What repeats an id with another
    content changes nothing, and is told.

    Every import has a name. `--undo` takes what it brought first out again, and the customers whom it touched are
    as if it had never been; those of whom nothing else is known are gone.
    """
    console = Console(stderr=True)
    with _told(console):
        if schema:
            show_json(mapping_schema())
        elif batches:
            show([one._asdict() for one in asyncio.run(_stored())], as_json=json)
        elif undo_ is not None:
            _forbid(file, "--undo takes no FILE: to put another one in its place, --replace BATCH FILE")
            _report_undone(undo_, asyncio.run(undo(undo_, Settings(), console, quiet=quiet, wait=wait)), json=json)
        else:
            if file is None:
                raise typer.BadParameter("which file? `tierwise import FILE --source NAME`", param_hint="FILE")
            if source is None:
                raise typer.BadParameter("whose data is it? `--source NAME`, as shop or crm", param_hint="--source")
            with told_as_wrong_use(InvalidSource):
                refuse_reserved(source)
            if batch is not None and replace is not None:
                raise typer.BadParameter("--replace BATCH names the batch already", param_hint="--batch")
            moment = time if time is None or time.tzinfo else time.replace(tzinfo=UTC)
            request = Request(
                file,
                source,
                load_mapping(mapping) if mapping else None,
                moment,
                _named(replace or batch, file),
                replace is not None,
                quiet,
                wait,
                batch_size,
                errors,
            )
            _import(request, console, dry_run=dry_run, json=json)


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """What is wrong is said, in red, and makes the exit status."""
    try:
        yield
    except (MappingError, UnreadableFile, StreamUnavailable, NotScored, NotFound) as error:
        console.print(f"{error}{_advice(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, MappingError) else 1) from None


def _advice(error: Exception) -> str:
    if isinstance(error, NotScored):
        return (
            ": is `tierwise scoring` (or `tierwise up`) running? What was sent is on the stream; where a file was to "
            "replace a batch and is not counted as imported yet, run the command again."
        )
    if isinstance(error, StreamUnavailable):
        return ": the stream is away. What was appended stays; run the command again when it is back."
    return ""


def _forbid(given: object, why: str) -> None:
    if given is not None:
        raise typer.BadParameter(why)


def _named(name: str | None, file: Path) -> str:
    """The name of the batch. Raises UnreadableFile."""
    if name is None:
        try:
            return batch_of(file)
        except OSError as error:
            raise UnreadableFile(f"{file} cannot be read: {error.strerror}") from None
    if fault := fault_of(name):
        raise typer.BadParameter(fault, param_hint="--batch")
    return name


async def _stored() -> list[Stored]:
    async with opened(Settings()) as place:
        return await stored_batches(place.engine)


def _import(request: Request, console: Console, *, dry_run: bool, json: bool) -> None:
    try:
        form = form_of(request.file, request.mapping)
    except UnreadableFile as error:
        raise typer.BadParameter(str(error), param_hint="FILE") from None
    if dry_run:
        show_first(request, form, Settings())
        return
    started = monotonic()
    counts = asyncio.run(import_file(request, form, Settings(), console))
    _report(request.batch, counts, monotonic() - started, json=json)
    if counts.rejected and not counts.accepted:
        raise typer.Exit(1)


def _report(batch: str, counts: Counts, seconds: float, *, json: bool) -> None:
    if json:
        result = {"batch": batch, **{name: getattr(counts, name) for name in counts.__slots__}}
        sys.stdout.write(msgspec.json.encode(result | {"seconds": round(seconds, 2)}).decode() + "\n")
        return
    rate = counts.rows / seconds if seconds else 0.0
    typer.echo(
        f"{counts.rows:,} rows: {counts.accepted:,} interactions accepted, {counts.rejected:,} rows rejected, "
        f"in {seconds:.1f} s ({rate:,.0f} rows/s)"
    )
    if counts.known:
        typer.echo(
            f"{counts.known:,} of them repeat an id that stood there before and change nothing; "
            f"{counts.conflicting:,} do so with another content."
        )
    typer.echo(f'Batch: {batch} (to take it back: tierwise import --undo "{batch}")')


def _report_undone(batch: str, undone: Undone, *, json: bool) -> None:
    if json:
        sys.stdout.write(msgspec.json.encode({"batch": batch, **undone._asdict()}).decode() + "\n")
    elif undone.interactions:
        typer.echo(f"{batch}: {undone.interactions:,} interactions are taken back; whom they touched is folded again.")
    else:
        typer.echo(f"{batch}: nothing is stored of it; what may still be on its way will not count.")
    if undone.summed and not json:
        typer.echo(
            f"{undone.summed:,} more are older than interactions are kept: only their sums are stored, and stay."
        )
