"""The command `tierwise classify`."""

import gc
import secrets
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from time import monotonic
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tierwise.authoring.given import text_of
from tierwise.classifying.cuts_file import CutsError, cuts_of
from tierwise.classifying.gather import Gathering, gather
from tierwise.classifying.output import ENDINGS, Format, columns_of, opened
from tierwise.classifying.pool import Cuts, Task, rendered
from tierwise.classifying.views import view_of_nobody
from tierwise.domain.claim import Terms
from tierwise.domain.rulebook import Rulebook, load, ready_rulebooks
from tierwise.domain.source import BACKEND, Source
from tierwise.files.apply import mapper_for
from tierwise.files.mapping import Mapping, MappingError, load_mapping, ready_mappings
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer
from tierwise.files.read import Rows, UnreadableFile, form_of
from tierwise.files.report import Rejections, reading_progress
from tierwise.memory import keep_freed
from tierwise.security.personal import PURPOSES, Vault
from tierwise.settings import Settings

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2149, 1, 1, tzinfo=UTC)  # a ledger's days end in 2149


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for. `moment`: of what the file gives no time to, aware."""

    file: Path
    mapping: Mapping | None
    form: str
    source: str
    moment: datetime
    errors: Path | None
    output: Path | None
    why: bool
    cuts: Cuts | None


def register(app: typer.Typer) -> None:
    app.command("classify")(classify)


def classify(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, whitespace-separated, NDJSON or Parquet; .gz too", exists=True, dir_okay=False, readable=True
        ),
    ],
    as_of: Annotated[
        list[str],
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="RFC 3339, without zone in the rulebook's; a date means the whole of that day. May be repeated",
            show_default=False,
        ),
    ],
    rulebook: Annotated[
        str, typer.Option(help=f"A file, or one that comes with Tierwise ({', '.join(ready_rulebooks())})")
    ] = "default",
    cuts: Annotated[
        Path | None,
        typer.Option(
            help="Where tiers are shares of the customers: cuts that were taken, as `rulebook cuts --json` prints "
            "them; taken of the customers in the file, at each --as-of, when absent",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(help=f"How rows become interactions: a YAML file, or {', '.join(ready_mappings())}"),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Of rows without one, and of the mapping's `time: import`; the first --as-of if absent"
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="The source's name, which decides between attributes that were set at the same instant")
    ] = "file",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=f"A file ({', '.join(ENDINGS)}); NDJSON to stdout when absent"),
    ] = None,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Add to each row why: NDJSON has the document of the profile API's /why, 30 kB a row, CSV and Parquet "
            "its sentences as why.en and why.zh. Takes a millisecond more for each row",
        ),
    ] = False,
    errors: Annotated[
        Path | None, typer.Option(help="Write every rejected row here, as NDJSON", dir_okay=False)
    ] = None,
) -> None:
    """Classify the customers of a file of interactions as they stand at a time, without a service or a database.

    One row a customer and time, in the shape of the current view. Interactions after the time don't exist for it.
    The file may be larger than memory, which grows with the customers: about 500 bytes for each of their identifiers,
    and 20 for each kind of thing that they did on a day. Many customers are classified on all cores.
    """
    text = text_of(rulebook)
    book = load(text)
    times = sorted({_moment(given, book, "--as-of") for given in as_of})
    moment = times[0] if time is None else _moment(time, book, "--time")
    if output is not None and output.suffix not in ENDINGS:
        raise typer.BadParameter(f"{output.name} ends in none of {', '.join(ENDINGS)}", param_hint="--output")
    console = Console(stderr=True)
    try:
        chosen = load_mapping(mapping) if mapping else None
        given = cuts_of(cuts, book) if cuts else None
        request = Request(file, chosen, form_of(file, chosen), source, moment, errors, output, why, given)
        gathering = _run(request, text, times, console)
    except (MappingError, CutsError, UnreadableFile) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1 if isinstance(error, UnreadableFile) else 2) from None
    except BrokenProcessPool:
        console.print("A process that classified was ended from outside: is there enough memory?", style="red")
        raise typer.Exit(1) from None
    if gathering.counts.rejected and not gathering.counts.interactions:
        raise typer.Exit(1)


def _moment(text: str, rulebook: Rulebook, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time, as 2026-11-20T09:30:00+08:00", param_hint=option) from None
    if moment.tzinfo is None:
        moment = _in_zone(moment, rulebook.days.zone, whole_day=len(text) <= len("2026-11-20"))
    if not _EARLIEST <= moment < _LATEST:
        raise typer.BadParameter(f"{text!r} lies outside the years 1970 to 2148", param_hint=option)
    return moment.astimezone(UTC)


def _in_zone(moment: datetime, zone: tzinfo, *, whole_day: bool) -> datetime:
    if whole_day:
        return datetime.combine(moment.date() + timedelta(days=1), time(), zone) - timedelta(microseconds=1)
    return moment.replace(tzinfo=zone)


def _run(request: Request, rulebook: str, times: Sequence[datetime], console: Console) -> Gathering:
    started = monotonic()
    keep_freed()
    gc.set_threshold(100_000, 50, 50)  # millions of objects, none of them in a cycle: it saves a quarter of the time
    keys = {purpose: secrets.token_bytes(32) for purpose in PURPOSES}  # for this run alone
    gathering = Gathering(times, load(rulebook), Vault(keys))
    with (
        Rows(request.file, request.mapping, form=request.form) as rows,
        Rejections.opened(request.errors, console) as rejections,
        reading_progress(console) as progress,
        Ordinals() as ordinals,
    ):
        task = progress.add_task(request.file.name, total=rows.size_bytes)
        gather(
            rows,
            _preparer(request, rows, ordinals),
            gathering,
            rejected=rejections.add,
            progressed=lambda: progress.update(task, completed=rows.done_bytes()),
        )
    read_s = monotonic() - started
    written = _write(request, gathering, rulebook, keys, console)
    _report(gathering, written, read_s, monotonic() - started, console)
    return gathering


def _preparer(request: Request, rows: Rows, ordinals: Ordinals) -> Preparer:
    """Rows are judged as at an import, but by no clock: what lies ahead of a time does not exist for it anyway."""
    settings = Settings()
    terms = Terms(
        source=Source(id=0, name=request.source, trust=BACKEND),
        received=request.moment,
        ahead_max=None,
        new_id=lambda: uuid4().hex,
        depth_max=settings.ingest_depth_max,
    )
    mapper = mapper_for(rows.columns, request.mapping, moment=request.moment)
    return Preparer(mapper, ordinals, terms, item_bytes_max=settings.ingest_item_bytes_max, quiet=False)


def _write(request: Request, gathering: Gathering, rulebook: str, keys: dict[str, bytes], console: Console) -> int:
    """Returns how many rows."""
    path = request.output
    example = view_of_nobody(gathering.rulebook, Vault(keys), why=request.why)
    columns = columns_of(example, gathering.rulebook, gathering.attribute_names)
    format_ = Format(path.suffix if path else ENDINGS[0], columns)
    customers = gathering.customers()
    written = 0
    with (
        opened(path, sys.stdout.buffer, columns) as write,
        Progress(
            TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TextColumn("customers"),
            console=console, transient=True, disable=not console.is_terminal,
        ) as progress,
    ):  # fmt: skip
        task = progress.add_task("classifying", total=customers)
        work = Task(rulebook, request.cuts, keys, format_.render, request.why)
        for count, rows in rendered(gathering, work, customers=customers):
            write(rows)
            written += count
            progress.update(task, completed=written)
    return written


def _report(gathering: Gathering, written: int, read_s: float, all_s: float, console: Console) -> None:
    counts = gathering.counts
    left_out = [
        (counts.rejected, "rows rejected"),
        (counts.duplicates, "duplicates"),
        (counts.later, "after the last time"),
    ]
    told = "".join(f", {count:,} {what}" for count, what in left_out if count)
    console.print(
        f"{counts.interactions:,} interactions{told}; {written:,} rows in {all_s:.1f} s "
        f"({counts.interactions / read_s:,.0f} interactions/s read and folded, "
        f"{written / max(all_s - read_s, 1e-9):,.0f} customers/s classified and written)",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
