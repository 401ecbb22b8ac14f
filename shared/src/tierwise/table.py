"""What commands print: a table for people, JSON for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print `rows`, all with the same names, to stdout; as JSON one array of objects."""
    if as_json:
        show_json(rows)
        return
    if not rows:
        Console(stderr=True).print("none")
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else _text(value) for value in row.values()))
    Console(highlight=False, markup=False).print(table)


def show_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
