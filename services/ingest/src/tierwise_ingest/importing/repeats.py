"""Repeats of known ids: what comes again with the same content, and what comes with another one."""

import sqlite3
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.domain.interaction import Interaction, content_of
from tierwise.files.prepare import Rejected

_CACHE_KIB = 64 * 1024


class Told(NamedTuple):
    """An interaction of this import: its key, its content (see `content_of`), and where it stands."""

    key: bytes
    content: int
    line: int
    id: str


def told(line: int, interaction: Interaction) -> Told:
    return Told(interaction.key, content_of(interaction), line, interaction.id)


class Repeats:
    """`known` so far: interactions whose id stood there before. `conflicting`: those of them with another content.

    Memory is bounded at 64 MiB; what is beyond is in a temporary file without a name.
    """

    def __init__(self) -> None:
        self.known = 0
        self.conflicting = 0
        self._first = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._first.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._first.execute("PRAGMA journal_mode = OFF")
        self._first.execute("PRAGMA synchronous = OFF")
        self._first.execute("CREATE TABLE first (key BLOB PRIMARY KEY, content INTEGER, line INTEGER) WITHOUT ROWID")
        self._first.execute("BEGIN")

    async def of(self, batch: Sequence[Told], engine: AsyncEngine) -> list[Rejected]:
        """The conflicting ones: in the file itself, and with what scoring has stored by now."""
        async with engine.connect() as connection:
            raw = await driver_connection(connection)
            rows = await raw.fetch(
                "SELECT key, content FROM interaction_keys WHERE key = ANY($1::uuid[])", [one.key for one in batch]
            )
        return list(self._conflicts(batch, dict(rows)))

    def _conflicts(self, batch: Sequence[Told], stored: dict[bytes, int]) -> Iterator[Rejected]:
        for one in batch:
            first = self._first_of(one)
            if (content := stored.get(one.key)) is not None:
                where = "what is stored"
            elif first is not None:
                content, where = first[0], f"line {first[1]}"
            else:
                continue
            self.known += 1
            if content != one.content:
                self.conflicting += 1
                detail = f"the id {one.id!r} stands in {where} with another content: that one counts, this one does not"
                yield Rejected(one.line, "conflicting_repeat", "id", detail)

    def _first_of(self, one: Told) -> tuple[int, int] | None:
        """Content and line of the first one in the file with this id; None where this is it."""
        added = self._first.execute(
            "INSERT INTO first VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1", (one.key, one.content, one.line)
        ).fetchone()
        if added:
            return None
        content, line = self._first.execute("SELECT content, line FROM first WHERE key = ?", (one.key,)).fetchone()
        return content, line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._first.close()
