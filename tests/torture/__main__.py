"""`python -m tests.torture --kills 200`: kill -9 under traffic, with a report. Run again it goes on where it was."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.support.database import test_server
from tests.torture.report import Report, Round, write_into
from tests.torture.run import opened
from tests.torture.system import kafka_version

STREAMS: Final = ("embedded", "kafka")
_HOME: Final = Path(__file__).parents[2] / ".tierwise" / "torture"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stream", choices=STREAMS, action="append", help="both, one after the other, when absent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, default=_HOME, help="where each run keeps its data and its report")
    parser.add_argument("--document", type=Path, help="a Markdown file to write the result into")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped as by Ctrl-C: nothing is left running
    console = Console()
    fine = True
    for stream in given.stream or STREAMS:
        directory = given.home / f"{stream}-{given.seed}"
        directory.mkdir(parents=True, exist_ok=True)
        version = kafka_version() if stream == "kafka" else None
        report = Report(directory / "report.jsonl", stream, given.seed, version)
        if len(report.rounds) < given.kills:
            with TemporaryDirectory(prefix="tierwise-reference-", ignore_cleanup_errors=True) as aside:
                Path(aside).chmod(0o711)  # where we are root the database runs as another user
                asyncio.run(_run(report, given.kills, directory, Path(aside)))
        _show(report, directory, console)
        if given.document is not None:
            write_into(given.document, report)
        fine &= not report.wrong
    return 0 if fine else 1


async def _run(report: Report, kills: int, directory: Path, aside: Path) -> None:
    """`aside`: for the databases of the uninterrupted runs."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(report.header.stream), BarColumn(), MofNCompleteColumn(), TextColumn("kills"), TimeRemainingColumn(),
        TextColumn("{task.description}"), console=console, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("starting", total=kills)

        def told(one: Round) -> None:
            progress.update(
                task, completed=one.number, description=f"{', '.join(one.parts)}: {one.accepted:,} accepted"
            )
            if one.wrong or not console.is_terminal:
                progress.console.print(_line(one), highlight=False, markup=False, soft_wrap=True)

        async with (
            test_server(aside) as reference,
            opened(report, directory, reference) as run,
        ):
            progress.update(task, completed=len(report.rounds))
            await run.kills(kills, told=told)


def _line(one: Round) -> str:
    digests = "" if one.digests is None else f"; digests {' and '.join(hash_[:12] for hash_ in one.digests)}"
    wrong = "".join(f"\n    {what}" for what in one.wrong)
    ended = f"; ended by themselves: {', '.join(one.ended)}" if one.ended else ""
    return (
        f"{one.number:4} {', '.join(one.parts)}: {one.took_s:.1f} s, back {one.back_s:.1f}, calm {one.calm_s:.1f}; "
        f"accepted {one.accepted:,}, lost {one.lost}, twice {one.twice}, events {one.events:,}, "
        f"repeats {one.repeats}{digests}{ended}{wrong}"
    )


def _show(report: Report, directory: Path, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in report.rows():
        table.add_row(name, value)
    console.print(f"Torture on the stream {report.header.stream}; report and data are in {directory}", highlight=False)
    console.print(table)
    for what in report.wrong:
        console.print(what, style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # the same command goes on
