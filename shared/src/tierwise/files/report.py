"""What people see while a file is read: how far it is, and which rows were not taken."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tierwise.files.prepare import Rejected

REJECTIONS_SHOWN = 10


@dataclass(slots=True)
class Rejections:
    """Rows that do not count, and why: the first ones are shown, all are written where a file was named."""

    console: Console
    file: TextIO | None = None
    count: int = field(default=0)

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, console: Console) -> "Iterator[Rejections]":
        with ExitStack() as stack:
            yield cls(console, stack.enter_context(path.open("w", encoding="utf-8")) if path else None)

    def add(self, rejected: Rejected) -> None:
        self.count += 1
        if self.file is not None:
            self.file.write(msgspec.json.encode(rejected).decode() + "\n")
        if self.count <= REJECTIONS_SHOWN:
            place = f" {rejected.field}:" if rejected.field else ""
            text = f"line {rejected.line}:{place} {rejected.detail} ({rejected.code})"
            self.console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
        elif self.count == REJECTIONS_SHOWN + 1:
            more = "further ones are counted" + ("" if self.file else "; --errors FILE writes them all")
            self.console.print(more, style="yellow", markup=False)


def reading_progress(console: Console) -> Progress:
    """In bytes of the file; gone when it is done, and never there when `console` is no terminal."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
