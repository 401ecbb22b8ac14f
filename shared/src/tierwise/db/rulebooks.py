"""The rulebooks of a database: the newest is in force, older ones explain what was stored under them.

Publishing adds a row, and so does going back to an older one: the rows are the history of releases.
"""

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import cuts, rulebooks
from tierwise.domain.rulebook import Rulebook, RulebookError, default_text, load, ready_rulebooks, ready_text
from tierwise.domain.rulebook.form import read
from tierwise.problem import NotFound, Problem
from tierwise.settings import Settings

_LOCK: Final = 0x72756C65626F6F6B  # 'rulebook', of pg_advisory_xact_lock
_CUT_KEPT: Final = 16  # while a pass goes on customers name two cuts, and a rulebook is cut in no time


class VersionTaken(Problem):
    """A version is one document for ever: changes and customers name it."""

    status, code, title = 409, "version_taken", "There is another rulebook of this version"


class InForce(NamedTuple):
    """`rulebook`: with its newest cuts, where there are any. `quiet`: what its release changes is recorded but not
    published; `cuts_quiet`: the same of what these cuts change."""

    id: int
    rulebook: Rulebook
    quiet: bool
    cuts_quiet: bool = False

    @property
    def named(self) -> tuple[int, int | None]:
        """How rows name it: (rulebook_id, cuts)."""
        return self.id, self.rulebook.cuts_number


class Release(NamedTuple):
    """A row: `reached` is the customer up to whom the release's pass was taken up, `released_at` when it was done;
    cuts that are taken begin it anew."""

    id: int
    version: str
    published_at: datetime
    quiet: bool
    reached: int
    released_at: datetime | None


class Rulebooks:
    """Loaded rulebooks by their number and that of their cuts; neither a published one nor cuts ever change."""

    def __init__(self) -> None:
        self._loaded: dict[int, Rulebook] = {}
        self._cut: dict[tuple[int, int], Rulebook] = {}

    def loaded(self, rulebook_id: int, number: int | None = None) -> Rulebook | None:
        """One that `get` has given before, if it is still there."""
        return self._loaded.get(rulebook_id) if number is None else self._cut.get((rulebook_id, number))

    async def get(self, connection: AsyncConnection, rulebook_id: int, number: int | None = None) -> Rulebook:
        """As rows name it. `number`: of its cuts, None for the fixed scores. Raises LookupError for what never was."""
        if (known := self.loaded(rulebook_id, number)) is not None:
            return known
        rulebook = await self._load(connection, rulebook_id)
        if number is None:
            return rulebook
        query = select(cuts.c.scores).where(cuts.c.id == number, cuts.c.rulebook_id == rulebook_id)
        scores = (await connection.execute(query)).scalar_one_or_none()
        if scores is None:
            raise LookupError(f"there are no cuts number {number} of rulebook number {rulebook_id}")
        if len(self._cut) >= _CUT_KEPT:
            del self._cut[next(iter(self._cut))]
        self._cut[rulebook_id, number] = rulebook.cut_at(scores, number)
        return self._cut[rulebook_id, number]

    async def _load(self, connection: AsyncConnection, rulebook_id: int) -> Rulebook:
        if rulebook_id not in self._loaded:
            query = select(rulebooks.c.document).where(rulebooks.c.id == rulebook_id)
            document = (await connection.execute(query)).scalar_one_or_none()
            if document is None:
                raise LookupError(f"there is no rulebook number {rulebook_id}")
            self._loaded[rulebook_id] = load(document)
        return self._loaded[rulebook_id]

    async def in_force(self, connection: AsyncConnection) -> InForce:
        """The newest rulebook with its newest cuts. Raises LookupError before `tierwise migrate` has seeded one."""
        newest = (await connection.execute(_NEWEST)).one_or_none()
        if newest is None:
            raise LookupError("the database has no rulebook: run `tierwise migrate`")
        rulebook = await self.get(connection, newest.id, newest.number)
        return InForce(newest.id, rulebook, newest.quiet, bool(newest.cuts_quiet))

    async def hold_in_force(self, connection: AsyncConnection) -> InForce:
        """The same, for who writes customers: no other one is published, and no cuts are taken, before this
        transaction has ended. Has to come first in a transaction, before any other lock is taken."""
        await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
        return await self.in_force(connection)


_NEWEST: Final = (
    select(rulebooks.c.id, rulebooks.c.quiet, cuts.c.id.label("number"), cuts.c.quiet.label("cuts_quiet"))
    .outerjoin(cuts, cuts.c.rulebook_id == rulebooks.c.id)
    .order_by(rulebooks.c.id.desc(), cuts.c.id.desc())
    .limit(1)
)


async def publish(connection: AsyncConnection, document: str, *, quiet: bool = False) -> int:
    """Bring a rulebook in force. Returns its number. `connection`: in a transaction; waits for those that are writing
    customers, and those that begin later see the new one. The one in force stays it when it is given again, be it with
    other comments.

    Raises RulebookError, VersionTaken.
    """
    version = load(document).version
    await hold_alone(connection)
    query = select(rulebooks.c.id, rulebooks.c.document).where(rulebooks.c.version == version)
    same = (await connection.execute(query.order_by(rulebooks.c.id.desc()).limit(1))).one_or_none()
    if same is not None and not _says_the_same(same.document, document):
        raise VersionTaken(
            f"version {version} was published as number {same.id}, and this one says something else (comments and "
            "layout do not count): give it a `version` of its own, so that changes tell by which rules they were made"
        )
    if same is not None and same.id == (await newest_release(connection)).id:
        return int(same.id)
    return await _add(connection, version, document, quiet=quiet)


def _says_the_same(published: str, document: str) -> bool:
    """But for comments and layout."""
    if published == document:
        return True
    try:
        return read(published).model_dump_json() == read(document).model_dump_json()
    except RulebookError:  # an older program published it, whose words are not known any more
        return False


async def roll_back(connection: AsyncConnection, version: str | None = None, *, quiet: bool = False) -> int:
    """Bring an older rulebook in force again, as a release of its own. Returns its number. `version`: as for
    `older_release`. Raises NotFound, and RulebookError where this program does not know its words any more."""
    await hold_alone(connection)
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


async def hold_alone(connection: AsyncConnection) -> None:
    """Nobody who holds what is in force is writing until the end of the transaction."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _read(path: Path) -> str:
    """A ready rulebook by its name, or a file."""
    return ready_text(str(path)) if str(path) in ready_rulebooks() else path.read_text(encoding="utf-8")
