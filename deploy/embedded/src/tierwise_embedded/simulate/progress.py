"""How far the simulated traffic is: a bar over its history on a terminal, nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tierwise_embedded.simulate.send import Sent


@contextmanager
def traffic_progress(console: Console, begin: datetime, start: datetime) -> Iterator[Callable[[Sent], None]]:
    """Answers what to call after each batch. The bar runs from `begin` to `start`, in days of history."""
    days = max((start - begin).days, 1)
    columns = (
        TextColumn("sample traffic"),
        BarColumn(),
        TextColumn("day {task.completed:.0f} of {task.total:.0f}, {task.fields[sent]:,} interactions"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("traffic", total=days, sent=0)

        def progressed(sent: Sent) -> None:
            if sent.last is not None:
                day = (datetime.fromisoformat(sent.last["time"]) - begin).days
                progress.update(task, completed=min(max(day, 0), days), sent=sent.accepted)

        yield progressed
