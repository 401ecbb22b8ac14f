"""The rulebooks of a database: the newest is in force, older ones explain what was stored under them."""

from pathlib import Path

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import rulebooks
from tierwise.domain.rulebook import Rulebook, default_text, load
from tierwise.settings import Settings


class Rulebooks:
    """Loaded rulebooks by their number; a published one never changes."""

    def __init__(self) -> None:
        self._loaded: dict[int, Rulebook] = {}

    async def get(self, connection: AsyncConnection, rulebook_id: int) -> Rulebook:
        """Raises LookupError for a number that was never published."""
        if rulebook_id not in self._loaded:
            query = select(rulebooks.c.document).where(rulebooks.c.id == rulebook_id)
            document = (await connection.execute(query)).scalar_one_or_none()
            if document is None:
                raise LookupError(f"there is no rulebook number {rulebook_id}")
            self._loaded[rulebook_id] = load(document)
        return self._loaded[rulebook_id]

    async def in_force(self, connection: AsyncConnection) -> tuple[int, Rulebook]:
        """The newest rulebook and its number. Raises LookupError before `tierwise migrate` has seeded one."""
        newest = (await connection.execute(select(func.max(rulebooks.c.id)))).scalar_one()
        if newest is None:
            raise LookupError("the database has no rulebook: run `tierwise migrate`")
        return newest, await self.get(connection, newest)


async def seed(connection: AsyncConnection, settings: Settings) -> None:
    """Give an empty database its first rulebook: the one that the settings name, else the default.

    Raises RulebookError, OSError when that file cannot be used.
    """
    if (await connection.execute(select(func.max(rulebooks.c.id)))).scalar_one() is not None:
        return
    text = default_text() if settings.rulebook is None else _read(settings.rulebook)
    await connection.execute(insert(rulebooks).values(version=load(text).version, document=text))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
