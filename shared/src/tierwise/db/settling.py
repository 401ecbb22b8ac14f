"""A database that came from another server is made at home here.

Rows know the transaction that wrote them, and readers of outboxes go by it (`tierwise.db.outbox`). Elsewhere these
numbers mean nothing: where they lie ahead, what is written from now on would be taken for old, and never be published.
"""

from typing import Final

from sqlalchemy import Column, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.stream_tables import stream_heads
from tierwise.db.tables import Xid8, customer_ids

IDS_SKIPPED: Final = 1_000_000_000
"""Ids of customers that are not given: they may have been, after the backup was made, to somebody else."""


async def settle(connection: AsyncConnection) -> None:
    """Nobody else may be using the database."""
    ids = customer_ids.name
    await connection.execute(text(f"SELECT setval('{ids}', nextval('{ids}') + {IDS_SKIPPED})"))
    columns = _transaction_columns()
    now = int(await connection.scalar(text("SELECT pg_current_xact_id()::text::bigint")) or 0)
    if max([await _largest(connection, column) for column in columns]) < now:
        return
    await _renumber(connection, columns)


async def _renumber(connection: AsyncConnection, columns: list[Column[int]]) -> None:
    """Every number becomes the count of bounds up to it, a bound being where a reader's window begins or ends: so each
    row stays in the windows that it was in. There are some two bounds a reader, and so many transactions a server has
    always seen."""
    bounds: set[int] = set()
    for column in columns:
        if column.server_default is None:
            bounds |= await _distinct(connection, column)
    for column in columns:
        name = f'"{column.name}"'
        statement = (
            f"UPDATE {column.table.name} SET {name} = "
            f"width_bucket({name}::text::bigint, CAST(:bounds AS bigint[]))::text::xid8 WHERE {name} IS NOT NULL"
        )
        await connection.execute(text(statement), {"bounds": sorted(bounds)})


def _transaction_columns() -> list[Column[int]]:
    tables = stream_heads.metadata.sorted_tables
    return [column for table in tables for column in table.columns if isinstance(column.type, Xid8)]


async def _largest(connection: AsyncConnection, column: Column[int]) -> int:
    query = f'SELECT max("{column.name}"::text::bigint) FROM {column.table.name}'
    return int(await connection.scalar(text(query)) or 0)


async def _distinct(connection: AsyncConnection, column: Column[int]) -> set[int]:
    query = f'SELECT DISTINCT "{column.name}"::text::bigint FROM {column.table.name} WHERE "{column.name}" IS NOT NULL'
    return set((await connection.scalars(text(query))).all())
