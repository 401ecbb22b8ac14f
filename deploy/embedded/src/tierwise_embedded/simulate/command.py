"""`tierwise simulate`."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from tierwise.settings import Settings
from tierwise_embedded.demo_keys import read_demo_keys
from tierwise_embedded.simulate.arrange import as_if_now, until
from tierwise_embedded.simulate.progress import traffic_progress
from tierwise_embedded.simulate.send import NotTaken, Sent, send
from tierwise_embedded.simulate.traffic import BUSINESS_ZONE, simulate

Items = Iterator[dict[str, Any]]


def register(app: typer.Typer) -> None:
    app.command("simulate")(simulate_)


def simulate_(
    customers: Annotated[int, typer.Option(min=0, help="How many people")] = 2_000,
    rate: Annotated[float | None, typer.Option(min=0.1, help="A second; as many as are taken when absent")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other people")] = 1,
    start: Annotated[
        datetime | None,
        typer.Option(
            help="Where history ends; the last midnight in Shanghai when absent",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"],
        ),
    ] = None,
    history: Annotated[int, typer.Option(min=1, max=3_650, help="Days of history before the start")] = 180,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds")] = None,
    live: Annotated[bool, typer.Option("--live", help="Go on after the history, as if it happened now")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write NDJSON to a file (-: stdout) instead of sending")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Of ingest; the one of the settings when absent")] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar="TIERWISE_WRITE_KEY", help="Write key; that of `tierwise up --demo` when absent"),
    ] = None,
) -> None:
    """Draw a believable population and send what it does, or write it to a file.

    The same seed, number of customers, history and start give the same interactions.
    """
    console = Console(stderr=True)
    began_at = _aware(start) if start else _last_midnight(datetime.now(UTC))
    items = simulate(customers, seed, began_at, history_days=history)
    if output is not None:
        endless = live or count is not None
        items = islice(items if endless else until(items, began_at), count)
        _write(_for_seconds(items, duration), output)
        return
    if not (live or count is not None or duration is not None):
        items = until(items, began_at)
    items = islice(as_if_now(items, began_at), count)
    settings = Settings()
    key = key or read_demo_keys(settings.data_dir).get("TIERWISE_WRITE_KEY")
    if key is None:
        console.print("A write key is needed: --key, TIERWISE_WRITE_KEY, or `tierwise up --demo` once.", style="red")
        raise typer.Exit(2)
    url = url or f"http://{settings.ingest_host}:{settings.ingest_port}"
    try:
        began = monotonic()
        with traffic_progress(console, began_at - timedelta(days=history), began_at) as progressed:
            sending = send(_for_seconds(items, duration), url=url, key=key, rate=rate, progressed=progressed)
            sent = asyncio.run(sending)
    except NotTaken as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    _report(sent, monotonic() - began, console)


def _for_seconds(items: Items, seconds: float | None) -> Items:
    end = None if seconds is None else monotonic() + seconds
    for item in items:
        if end is not None and monotonic() >= end:
            return
        yield item


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=BUSINESS_ZONE)


def _last_midnight(now: datetime) -> datetime:
    return now.astimezone(BUSINESS_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)


def _write(items: Items, output: Path) -> None:
    with nullcontext(sys.stdout.buffer) if str(output) == "-" else output.open("wb") as file:
        for item in items:
            file.write(msgspec.json.encode(item) + b"\n")


def _report(sent: Sent, seconds: float, console: Console) -> None:
    for reason in sent.reasons:
        console.print(f"rejected: {reason}", style="yellow", markup=False, highlight=False)
    rate = (sent.accepted + sent.rejected) / seconds if seconds else 0.0
    sys.stdout.write(
        f"{sent.accepted:,} interactions accepted, {sent.rejected:,} rejected, in {seconds:.1f} s ({rate:,.0f}/s)\n"
    )
    if sent.rejected and not sent.accepted:
        raise typer.Exit(1)
