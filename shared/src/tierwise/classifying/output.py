"""Where the views go: NDJSON, CSV or Parquet.

In tables dots join the names of what is nested (`tier.score`); lists, and attributes that are no text, are JSON in a
cell. Why a customer is classified so is a document in NDJSON, and in tables its sentences, a column for each language.
"""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import pyarrow
import pyarrow.parquet

from tierwise.classifying.views import View
from tierwise.domain.explain_words import sentences
from tierwise.domain.rulebook import Rulebook
from tierwise.files.flat import flat

ENDINGS: Final = (".ndjson", ".jsonl", ".json", ".csv", ".parquet")

Write = Callable[[Any], object]
Columns = dict[str, pyarrow.DataType]

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Format:
    """How views are written, by the ending of a file (one of ENDINGS). `columns`: of tables."""

    ending: str
    columns: Columns

    def render(self, views: list[View]) -> Any:
        """What `opened` writes: bytes, of Parquet a table."""
        if self.ending == ".parquet":
            return _table(views, pyarrow.schema(self.columns.items()))
        return _csv_rows(views, self.columns) if self.ending == ".csv" else _json.encode_lines(views)


@contextmanager
def opened(path: Path | None, standard: BinaryIO, columns: Columns) -> Iterator[Write]:
    """What writes rendered views, into `path`; None: on `standard`.

    The file is there when everything is written, and not before; until then one that was there stays.
    """
    if path is None:
        yield standard.write
        return
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            if path.suffix == ".parquet":
                with pyarrow.parquet.ParquetWriter(file, pyarrow.schema(columns.items()), compression="zstd") as table:
                    yield table.write_table
            else:
                if path.suffix == ".csv":
                    file.write(_csv_header(columns))
                yield file.write
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def columns_of(example: View, rulebook: Rulebook, attribute_names: set[str]) -> Columns:
    """The columns of a table of views like this one, numbers as numbers and all else as text."""
    strategies = [named for aspect in rulebook.strategies.values() for named in aspect.values()]
    strategy = {name: None for named in strategies for name in flat(named)}
    cells = _cells(example | {"attributes": dict.fromkeys(sorted(attribute_names)), "strategy": strategy})
    return {name: _type(value) for name, value in cells.items()}


def _type(value: object) -> pyarrow.DataType:
    if isinstance(value, float):
        return pyarrow.float64()
    return pyarrow.int64() if isinstance(value, int) and not isinstance(value, bool) else pyarrow.string()


def _cells(view: View) -> dict[str, Any]:
    explanation = view.get("why")
    return flat(view if explanation is None else view | {"why": sentences(explanation)})


def _csv_header(columns: Columns) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(columns)
    return text.getvalue().encode()


def _csv_rows(views: list[View], columns: Columns) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
    rows.writerows({name: _cell(value) for name, value in _cells(view).items()} for view in views)
    return text.getvalue().encode()


def _table(views: list[View], schema: pyarrow.Schema) -> pyarrow.Table:
    rows = [_cells(view) for view in views]
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == pyarrow.string():
            values = [None if value is None else _text(value) for value in values]
        columns.append(pyarrow.array(values, field.type))
    return pyarrow.table(columns, schema=schema)


def _cell(value: Any) -> Any:
    return value if value is None or type(value) in (int, float) else _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _json.encode(value).decode()
