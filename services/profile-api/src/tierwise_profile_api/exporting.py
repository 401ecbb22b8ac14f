"""Exports as streams of bytes, page by page: no transaction between pages, and as much memory for any number of
customers. While a page is encoded the next one is read."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tierwise.domain.rulebook.book import Rulebook
from tierwise.security.keys import Reader
from tierwise_profile_api import queries
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.facet_names import FacetNames
from tierwise_profile_api.facet_words import labels
from tierwise_profile_api.facet_words import names as plain
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.finding import Page, page
from tierwise_profile_api.flat import FlatPage, flat_page, unpacked
from tierwise_profile_api.flat_forms import SCHEMA, as_batch, as_csv, as_lines, csv_heading
from tierwise_profile_api.reads import Row
from tierwise_profile_api.view import view

VIEWS_PAGE: Final = 100
"""Customers in one read. A view takes 0.06 ms of the processor: a page holds other requests up for 6 ms."""

FLAT_PAGE: Final = 1_000
"""Likewise, of rows that take 0.01 ms."""

ROW_GROUP: Final = 20_000
"""Rows of Parquet that are compressed together, some 3 MB of memory."""

_encoder = msgspec.json.Encoder()


class Flat(NamedTuple):
    """Flat rows of whom; in the words of a language, or (None) by names."""

    filters: Filters
    rulebook: Rulebook
    language: str | None


async def views(
    source: Backend, reader: Reader, filters: Filters, after: int, *, language: str
) -> AsyncIterator[bytes]:
    """Current views as lines of JSON, with labels in `language`. Raises Unavailable, in the middle too, when the
    database stays away: then the connection is cut."""

    async def read(last: int) -> tuple[Sequence[Row], int | None]:
        asking = _views_page(filters, last)
        rows = await source.reads.rows(asking.statement, *asking.values)
        return rows, rows[-1]["id"] if len(rows) == VIEWS_PAGE else None

    async for rows in _pages(read, after):
        yield _encoder.encode_lines([await view(row, source, reader, language=language) for row in rows])


async def flat_csv(source: Backend, flat: Flat, after: int) -> AsyncIterator[bytes]:
    heading = csv_heading(flat.language)
    async for found in _flat(source, flat, after):
        yield heading + as_csv(found)
        heading = b""


async def flat_lines(source: Backend, flat: Flat, after: int) -> AsyncIterator[bytes]:
    async for found in _flat(source, flat, after):
        yield as_lines(found)


async def flat_parquet(source: Backend, flat: Flat, after: int) -> AsyncIterator[bytes]:
    """Apache Parquet, a row group at a time."""
    sink = _Sink()
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        waiting: list[pa.RecordBatch] = []
        async for found in _flat(source, flat, after):
            waiting.append(as_batch(found))
            if sum(batch.num_rows for batch in waiting) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
                yield sink.taken()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    yield sink.taken()


def _flat(source: Backend, flat: Flat, after: int) -> AsyncIterator[FlatPage]:
    names = FacetNames(source.reads)
    word = plain if flat.language is None else labels(flat.rulebook, flat.language)

    async def read(last: int) -> tuple[FlatPage, int | None]:
        asking = flat_page(flat.filters, last, FLAT_PAGE)
        [row] = await source.reads.rows(asking.statement, *asking.values)
        found = await unpacked(row, names, word)
        return found, found.last if len(found.customer_ids) == FLAT_PAGE else None

    return _pages(read, after)


async def _pages(read: Callable[[int], Any], after: int) -> AsyncIterator[Any]:
    """`read`: a page after an id, and the id to go on after; None: it was the last one."""
    following: asyncio.Task[tuple[Any, int | None]] = asyncio.ensure_future(read(after))
    try:
        while True:
            found, last = await following
            if last is None:
                yield found
                return
            following = asyncio.ensure_future(read(last))
            yield found
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _views_page(filters: Filters, last: int) -> Page:
    if filters.sql == "true":  # everyone: one table less to read
        return Page(queries.CUSTOMERS, [last, VIEWS_PAGE])
    return page(filters, "customer_id", (last, last), VIEWS_PAGE)


class _Sink(io.RawIOBase):
    """What was written, until it is taken."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self._chunks.append(bytes(chunk))
        self._written += len(self._chunks[-1])
        return len(self._chunks[-1])

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)
