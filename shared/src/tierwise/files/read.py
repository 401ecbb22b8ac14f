"""Rows from a file of any length: CSV, whitespace-separated, NDJSON, Parquet, gzipped or not."""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pyarrow
import pyarrow.parquet

from tierwise.files.flat import flat
from tierwise.files.mapping import Mapping

LINE_BYTES_MAX = 1 << 20
_PEEKED_BYTES = 1 << 13
_DELIMITERS = (",", ";", "\t", "|")


class UnreadableFile(Exception):  # noqa: N818
    """The file as a whole cannot be read; the message says why and what may help."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it stands in the file. `number`: its line (of Parquet its row), counted from 1. `content`: the bytes by
    which equal rows are known. Either `values` (by column; of NDJSON none, `content` is the object) or `fault`.
    `document`: of Parquet the row as it is nested."""

    number: int
    content: bytes
    values: dict[str, Any] | None = None
    document: dict[str, Any] | None = None
    fault: str | None = None


class Rows:
    """The rows of a file, read once, from first to last, as a context manager.

    `columns`: their names where the file has a fixed set. `size_bytes`, `done_bytes()`: of the file as it lies there.
    Raises UnreadableFile, on opening or while reading.
    """

    def __init__(self, path: Path, mapping: Mapping | None, *, form: str) -> None:
        self._mapping = mapping
        self._form = form
        self._opened = ExitStack()
        self._parquet: pyarrow.parquet.ParquetFile | None = None
        self._rows_done = 0
        try:
            self._raw = self._opened.enter_context(path.open("rb"))
            self.size_bytes = path.stat().st_size
            self._file = self._inflated(path)
            self.columns = self._open()
            self._names = self.columns or ()
        except (OSError, zlib.error, EOFError, pyarrow.ArrowInvalid) as error:
            self._opened.close()
            raise UnreadableFile(f"{path} cannot be read: {error}") from None
        except UnreadableFile:
            self._opened.close()
            raise

    def done_bytes(self) -> int:
        if self._parquet is not None:
            rows = max(self._parquet.metadata.num_rows, 1)
            return int(self.size_bytes * self._rows_done / rows)
        return self._raw.tell()

    def __iter__(self) -> Iterator[Line]:
        if self._parquet is not None:
            lines = self._parquet_lines(self._parquet)
        elif self._form == "ndjson":
            lines = self._json_lines()
        elif self._form == "whitespace":
            lines = self._whitespace_lines()
        else:
            lines = self._csv_lines()
        try:
            yield from lines
        except (OSError, zlib.error, EOFError, pyarrow.ArrowInvalid) as error:
            raise UnreadableFile(f"the file breaks off: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def _inflated(self, path: Path) -> io.BufferedReader | gzip.GzipFile:
        magic = self._raw.read(2)
        self._raw.seek(0)
        if magic != b"\x1f\x8b":
            if path.suffix == ".gz" and self.size_bytes:
                raise UnreadableFile(f"{path} ends in .gz but is no gzip file")
            return self._raw
        return self._opened.enter_context(gzip.GzipFile(fileobj=self._raw))

    def _open(self) -> tuple[str, ...] | None:
        if self._form == "parquet":
            if self._file is not self._raw:
                raise UnreadableFile("Parquet inside gzip cannot be read in parts: unpack it first")
            self._parquet = self._opened.enter_context(pyarrow.parquet.ParquetFile(self._raw))
            return tuple(_leaves(self._parquet.schema_arrow))
        if self._form == "ndjson":
            return None
        encoding = self._mapping.encoding if self._mapping else "utf-8"
        self._encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        # surrogateescape: a byte that is none of this encoding spoils its own row, not the file.
        # Where lines end in \r\r\n (there are such files) "" would count each twice; it is for those with \r alone.
        newline = "\n" if b"\n" in self._file.peek(_PEEKED_BYTES) else ""
        self._text = io.TextIOWrapper(self._file, self._encoding, errors="surrogateescape", newline=newline)
        if self._form == "csv":
            self._csv = csv.reader(self._text_lines(), delimiter=self._delimiter())
        return self._header()

    def _delimiter(self) -> str:
        if self._mapping and self._mapping.delimiter:
            self._first = ""
            return self._mapping.delimiter
        self._first = self._text.readline(LINE_BYTES_MAX)
        return max(_DELIMITERS, key=self._first.count)

    def _text_lines(self) -> Iterator[str]:
        if self._first:
            yield self._first
        yield from self._text

    def _header(self) -> tuple[str, ...]:
        mapping = self._mapping
        first: list[str] | None = None
        if mapping is None or mapping.header:
            first = next(self._csv, []) if self._form == "csv" else self._text.readline(LINE_BYTES_MAX).split()
        columns = mapping.columns if mapping and mapping.columns else tuple(name.strip() for name in first or ())
        if not columns:
            raise UnreadableFile("the file is empty: not even a header stands in it")
        if first is not None and len(first) != len(columns):
            raise UnreadableFile(f"the header has {len(first)} columns, the mapping names {len(columns)}")
        if any(_foreign(name) for name in columns):
            raise UnreadableFile(f"the header is not {self._encoding}: name the encoding in the mapping, say gb18030")
        if len(set(columns)) < len(columns):
            twice = next(name for name in columns if columns.count(name) > 1)
            raise UnreadableFile(f"the header names the column {twice!r} twice: give `columns` in the mapping")
        return columns

    def _csv_lines(self) -> Iterator[Line]:
        while True:
            try:
                row = next(self._csv, None)
            except csv.Error as error:
                yield Line(self._csv.line_num, b"", fault=str(error))
                continue
            if row is None:
                return
            if row:
                yield self._line(self._csv.line_num, row)

    def _whitespace_lines(self) -> Iterator[Line]:
        start = 2 if self._mapping is None or self._mapping.header else 1
        for number, text in enumerate(self._text, start):
            if row := text.split():
                yield self._line(number, row)

    def _line(self, number: int, row: list[str]) -> Line:
        text = "\x1f".join(row)
        content = text.encode("utf-8", "surrogateescape")
        if len(row) != len(self._names):
            return Line(number, content, fault=f"{len(row)} columns in place of {len(self._names)}")
        if _foreign(text):
            return Line(
                number, content, fault=f"is not {self._encoding}: name the encoding in the mapping, say gb18030"
            )
        return Line(number, content, dict(zip(self._names, row, strict=True)))

    def _json_lines(self) -> Iterator[Line]:
        number = 0
        while text := self._file.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(text) > LINE_BYTES_MAX:
                while text and not text.endswith(b"\n"):
                    text = self._file.readline(LINE_BYTES_MAX)
                yield Line(number, b"", fault=f"is longer than {LINE_BYTES_MAX} bytes")
            elif content := text.removeprefix(codecs.BOM_UTF8).strip():
                yield Line(number, content)

    def _parquet_lines(self, file: pyarrow.parquet.ParquetFile) -> Iterator[Line]:
        for batch in file.iter_batches(batch_size=4_096):
            for values in batch.to_pylist():
                self._rows_done += 1
                content = msgspec.json.encode(list(values.values()), enc_hook=str)
                yield Line(self._rows_done, content, flat(values), values)


def _leaves(fields: Iterable[pyarrow.Field], prefix: str = "") -> Iterator[str]:
    for field in fields:
        if pyarrow.types.is_struct(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _foreign(text: str) -> bool:
    """Whether bytes of another encoding stand in it (as surrogates)."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def form_of(path: Path, mapping: Mapping | None) -> str:
    """The mapping's format, else by the name: csv, ndjson or parquet. Raises UnreadableFile."""
    if mapping is not None:
        return mapping.format
    name = path.name.lower().removesuffix(".gz")
    for form, endings in {
        "csv": (".csv", ".tsv"),
        "ndjson": (".ndjson", ".jsonl", ".json"),
        "parquet": (".parquet",),
    }.items():
        if name.endswith(endings):
            return form
    raise UnreadableFile(f"{path.name} does not say what it is: end it in .csv, .ndjson or .parquet, or give a mapping")
