"""The ordinal of a row among equal rows: what tells two real, equal orders from one order that is read twice."""

import sqlite3
from types import TracebackType
from typing import Self

_CACHE_KIB = 64 * 1024


class Ordinals:
    """Counts 128-bit hashes. How often a row stands in a file does not depend on the order of the rows, so the
    set of (row, ordinal) doesn't either.

    Memory is bounded at 64 MiB. Beyond that (about a million different rows) the counts are kept in a file
    without a name in the system's temporary folder, about 40 bytes a row, that vanishes with the process.
    """

    def __init__(self) -> None:
        # An empty name: SQLite's private temporary database, written out only when the cache is full.
        self._counts = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._counts.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._counts.execute("PRAGMA journal_mode = OFF")
        self._counts.execute("PRAGMA synchronous = OFF")
        self._counts.execute("CREATE TABLE seen (row BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._counts.execute("BEGIN")

    def next(self, row_hash: bytes) -> int:
        """How many equal rows came before this one."""
        (times,) = self._counts.execute(
            "INSERT INTO seen VALUES (?, 0) ON CONFLICT (row) DO UPDATE SET times = times + 1 RETURNING times",
            (row_hash,),
        ).fetchone()
        return int(times)

    def close(self) -> None:
        self._counts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
