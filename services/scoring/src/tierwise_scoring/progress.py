"""What commands that go through all customers share: the database, and a bar."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.db.tables import customers
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[tuple[AsyncEngine, Vault]]:
    """Raises Unavailable where it is not at this version."""
    async with open_engine(settings, pool_size=2) as engine:
        await migrate.check(engine)
        yield engine, await open_vault(engine, settings)


async def count_customers(connection: AsyncConnection) -> int:
    """Those that are not merged away."""
    query = select(func.count()).select_from(customers).where(customers.c.merged_into.is_(None))
    return int((await connection.execute(query)).scalar_one())


@contextmanager
def customers_bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, none where that is no terminal. It is told how many are done."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("customers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("customers", total=total)
        yield lambda done: progress.update(task, completed=done)
