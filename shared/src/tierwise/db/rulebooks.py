"""The rulebooks of a database: the newest is in force, older ones explain what was stored under them.

Publishing adds a row, and so does going back to an older one: the rows are the history of releases.
"""

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import rulebooks
from tierwise.domain.rulebook import Rulebook, default_text, load
from tierwise.problem import NotFound, Problem
from tierwise.settings import Settings

_LOCK: Final = 0x72756C65626F6F6B  # 'rulebook', of pg_advisory_xact_lock


class VersionTaken(Problem):
    """A version is one document for ever: changes and customers name it."""

    status, code, title = 409, "version_taken", "There is another rulebook of this version"


class InForce(NamedTuple):
    """`quiet`: what its release changes is recorded but not published."""

    id: int
    rulebook: Rulebook
    quiet: bool


class Release(NamedTuple):
    """A row: `reached` is the customer up to whom the release's pass was taken up, `released_at` when it was done."""

    id: int
    version: str
    published_at: datetime
    quiet: bool
    reached: int
    released_at: datetime | None


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

    async def in_force(self, connection: AsyncConnection) -> InForce:
        """The newest rulebook. Raises LookupError before `tierwise migrate` has seeded one."""
        query = select(rulebooks.c.id, rulebooks.c.quiet).order_by(rulebooks.c.id.desc()).limit(1)
        newest = (await connection.execute(query)).one_or_none()
        if newest is None:
            raise LookupError("the database has no rulebook: run `tierwise migrate`")
        return InForce(newest.id, await self.get(connection, newest.id), newest.quiet)

    async def hold_in_force(self, connection: AsyncConnection) -> InForce:
        """The same, for who writes customers: no other one is published before this transaction has ended. Has to
        come first in a transaction, before any other lock is taken."""
        await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
        return await self.in_force(connection)


async def publish(connection: AsyncConnection, document: str, *, quiet: bool = False) -> int:
    """Bring a rulebook in force. Returns its number. `connection`: in a transaction; waits for those that are writing
    customers, and those that begin later see the new one. The one in force stays it when it is given again.

    Raises RulebookError, VersionTaken.
    """
    version = load(document).version
    await _alone(connection)
    query = select(rulebooks.c.id, rulebooks.c.document).where(rulebooks.c.version == version)
    same = (await connection.execute(query.order_by(rulebooks.c.id.desc()).limit(1))).one_or_none()
    if same is not None and same.document != document:
        raise VersionTaken(
            f"version {version} was published as number {same.id}, and this is another document: give it a `version` "
            "of its own, so that every change tells by which rules it was made"
        )
    if same is not None and same.id == (await newest_release(connection)).id:
        return int(same.id)
    return await _add(connection, version, document, quiet=quiet)


async def roll_back(connection: AsyncConnection, version: str | None = None, *, quiet: bool = False) -> int:
    """Bring an older rulebook in force again, as a release of its own. Returns its number. `version`: as for
    `older_release`. Raises NotFound, and RulebookError where this program does not know its words any more."""
    await _alone(connection)
    older = await older_release(connection, version)
    newest = await newest_release(connection)
    if older.version == newest.version:
        return newest.id
    query = select(rulebooks.c.document).where(rulebooks.c.id == older.id)
    document = (await connection.execute(query)).scalar_one()
    return await _add(connection, load(document).version, document, quiet=quiet)


async def older_release(connection: AsyncConnection, version: str | None) -> Release:
    """The last release of a version; None: of the one that was in force before. Raises NotFound."""
    everyone = await releases(connection)
    for release in everyone:
        if release.version == version or (version is None and release.version != everyone[0].version):
            return release
    if version is None:
        raise NotFound("no other rulebook was in force before this one")
    known = ", ".join(dict.fromkeys(release.version for release in everyone))
    raise NotFound(f"there is no rulebook of version {version}; there are {known}")


async def releases(connection: AsyncConnection) -> list[Release]:
    """The newest first: that one is in force."""
    columns = [getattr(rulebooks.c, name) for name in Release._fields]
    rows = await connection.execute(select(*columns).order_by(rulebooks.c.id.desc()))
    return [Release(*row) for row in rows]


async def newest_release(connection: AsyncConnection) -> Release:
    """Of the rulebook in force. Raises NotFound before `tierwise migrate` has seeded one."""
    columns = [getattr(rulebooks.c, name) for name in Release._fields]
    row = (await connection.execute(select(*columns).order_by(rulebooks.c.id.desc()).limit(1))).one_or_none()
    if row is None:
        raise NotFound("the database has no rulebook: run `tierwise migrate`")
    return Release(*row)


async def seed(connection: AsyncConnection, settings: Settings) -> None:
    """Give an empty database its first rulebook: the one that the settings name, else the default.

    Raises RulebookError, OSError when that file cannot be used.
    """
    if (await connection.execute(select(func.max(rulebooks.c.id)))).scalar_one() is not None:
        return
    document = default_text() if settings.rulebook is None else _read(settings.rulebook)
    await _add(connection, load(document).version, document, quiet=False)


async def _add(connection: AsyncConnection, version: str, document: str, *, quiet: bool) -> int:
    values = {"version": version, "document": document, "quiet": quiet}
    added = await connection.execute(insert(rulebooks).values(values).returning(rulebooks.c.id))
    return int(added.scalar_one())


async def _alone(connection: AsyncConnection) -> None:
    """Nobody who holds a rulebook is writing until the end of the transaction."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
