"""The sources there are: made, changed, given new keys and secrets, retired. Services follow within 10 seconds."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import keys, source_secrets, sources
from tierwise.domain.change import rfc3339
from tierwise.domain.source import Intake, Trust
from tierwise.problem import NotFound, Problem
from tierwise.security.keys import Created, SourceExists, add_write_key
from tierwise.security.personal import Vault
from tierwise.security.source_document import Described, InvalidSource, document_of, patch_source, refuse_reserved
from tierwise.security.sources import secret_context

GRACE: Final = timedelta(hours=24)
GRACE_MAX: Final = timedelta(days=90)
SECRET_CHARACTERS_MAX: Final = 4_096
_SECRET: Final = re.compile(r"[\x20-\x7e\n]+")  # also a key in PEM, which has lines


class UnknownSource(NotFound):
    code, title = "unknown_source", "There is no such source"


class SourceRetired(Problem):
    status, code, title = 409, "source_retired", "The source was retired"


class Credential(NamedTuple):
    """A write key or a secret of a source, not itself. `ends_at`: refused from then on."""

    id: str
    created_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Registered:
    """A source as its administrator sees it. `keys`, `secrets`: those that were not refused yet, the oldest first."""

    name: str
    trust: Trust
    intake: Intake
    created_at: datetime
    retired_at: datetime | None
    keys: Sequence[Credential]
    secrets: Sequence[Credential]


async def create_source(connection: AsyncConnection, vault: Vault, described: Described) -> Created:
    """The source and its first write key. Raises SourceExists."""
    row = {
        "name": described.name,
        "trust": document_of(described.trust),
        "intake": document_of(described.intake),
    }
    made = insert_or_not(sources).values(row).on_conflict_do_nothing().returning(sources.c.id)
    source_id = await connection.scalar(made)
    if source_id is None:
        raise SourceExists(f"The source {described.name} exists: change that one, or give this one another name.")
    return await add_write_key(connection, vault, source_id=source_id, name=described.name)


async def list_sources(connection: AsyncConnection) -> list[Registered]:
    """All, retired ones too, by name."""
    rows = (await connection.execute(select(sources).order_by(sources.c.name))).all()
    held = await _credentials(connection, [row.id for row in rows])
    return [_registered(row, *held[row.id]) for row in rows]


async def find_source(connection: AsyncConnection, name: str) -> Registered:
    """Raises UnknownSource."""
    row = await _row(connection, name)
    return _registered(row, *(await _credentials(connection, [row.id]))[row.id])


async def update_source(connection: AsyncConnection, name: str, patch: Any) -> Registered:
    """`patch`: see `patch_source`. Raises UnknownSource, SourceRetired, InvalidSource."""
    row = await _row(connection, name, live=True)
    trust, intake = patch_source(msgspec.convert(row.trust, Trust), msgspec.convert(row.intake, Intake), patch)
    new = {"trust": document_of(trust), "intake": document_of(intake)}
    await connection.execute(update(sources).where(sources.c.id == row.id).values(new))
    return await find_source(connection, name)


async def rotate_key(connection: AsyncConnection, vault: Vault, name: str, *, grace: timedelta = GRACE) -> Created:
    """A new write key; older ones are refused after `grace`. Raises UnknownSource, SourceRetired, InvalidSource."""
    _check_grace(grace)
    row = await _row(connection, name, live=True)
    await _end_keys(connection, row.id, func.now() + grace)
    return await add_write_key(connection, vault, source_id=row.id, name=name)


async def rotate_secret(
    connection: AsyncConnection, vault: Vault, name: str, secret: str | None = None, *, grace: timedelta = GRACE
) -> str:
    """The new secret, by which webhooks are checked: the given one, else one made at random. The one there was is good
    for `grace` more; an older one goes at once. Raises UnknownSource, SourceRetired, InvalidSource."""
    _check_grace(grace)
    if secret is not None and not (0 < len(secret) <= SECRET_CHARACTERS_MAX and _SECRET.fullmatch(secret)):
        raise InvalidSource("secret", f"it has 1 to {SECRET_CHARACTERS_MAX} characters, ASCII and printable")
    row = await _row(connection, name, live=True)
    mine = source_secrets.c.source_id == row.id
    ending = mine & source_secrets.c.retired_at.is_not(None)
    await connection.execute(
        update(source_secrets).where(ending).values(retired_at=_at_most(source_secrets.c.retired_at))
    )
    current = mine & source_secrets.c.retired_at.is_(None)
    await connection.execute(update(source_secrets).where(current).values(retired_at=func.now() + grace))
    secret = secret or secrets.token_urlsafe(32)
    sealed = vault.seal(secret.encode(), context=secret_context(row.id))
    await connection.execute(insert(source_secrets).values(source_id=row.id, ciphertext=sealed))
    return secret


async def retire_source(connection: AsyncConnection, name: str) -> None:
    """Its keys and secrets are refused from now on, for good; what it sent stays, and so does its name. Raises
    UnknownSource."""
    row = await _row(connection, name)
    await connection.execute(
        update(sources).where(sources.c.id == row.id).values(retired_at=_at_most(sources.c.retired_at))
    )
    await _end_keys(connection, row.id, func.now())
    mine = source_secrets.c.source_id == row.id
    await connection.execute(
        update(source_secrets).where(mine).values(retired_at=_at_most(source_secrets.c.retired_at))
    )


async def _end_keys(connection: AsyncConnection, source_id: int, at: ColumnElement[Any]) -> None:
    ends = func.least(keys.c.revoked_at, at)
    await connection.execute(update(keys).where(keys.c.source_id == source_id).values(revoked_at=ends))


def _at_most(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Now, unless it was before; of NULL there is none."""
    return func.least(column, func.now())


def _check_grace(grace: timedelta) -> None:
    if not timedelta(0) <= grace <= GRACE_MAX:
        raise InvalidSource("grace", f"it is between 0 and {GRACE_MAX.days} days")


async def _row(connection: AsyncConnection, name: str, *, live: bool = False) -> Row[Any]:
    """`live`: locked for a change, and refused where it is retired or reserved."""
    query = select(sources).where(sources.c.name == name)
    row = None
    if "\0" not in name:
        row = (await connection.execute(query.with_for_update() if live else query)).one_or_none()
    if row is None:
        raise UnknownSource(f"There is no source {name[:100]!r}: `tierwise source list` shows them.")
    if live:
        refuse_reserved(name)
    if live and row.retired_at is not None:
        raise SourceRetired(f"The source {name} is retired: make another one.")
    return row


async def _credentials(
    connection: AsyncConnection, source_ids: Sequence[int]
) -> dict[int, tuple[list[Credential], list[Credential]]]:
    held: dict[int, tuple[list[Credential], list[Credential]]] = {one: ([], []) for one in source_ids}
    for place, table, ends in ((0, keys, keys.c.revoked_at), (1, source_secrets, source_secrets.c.retired_at)):
        good = ends.is_(None) | (ends > func.now())
        query = select(table.c.source_id, table.c.id, table.c.created_at, ends.label("ends_at"))
        query = query.where(table.c.source_id.in_(source_ids), good).order_by(table.c.created_at, table.c.id)
        for row in await connection.execute(query):
            held[row.source_id][place].append(Credential(str(row.id), row.created_at, row.ends_at))
    return held


def _registered(row: Row[Any], held_keys: Sequence[Credential], held_secrets: Sequence[Credential]) -> Registered:
    return Registered(
        name=row.name,
        trust=msgspec.convert(row.trust, Trust),
        intake=msgspec.convert(row.intake, Intake),
        created_at=row.created_at,
        retired_at=row.retired_at,
        keys=held_keys,
        secrets=held_secrets,
    )


def registered_document(source: Registered) -> dict[str, Any]:
    """As plain JSON, for the command and the API alike; no key and no secret is in it."""
    return {
        "name": source.name,
        "trust": document_of(source.trust),
        "intake": document_of(source.intake),
        "created_at": rfc3339(source.created_at),
        "retired_at": source.retired_at and rfc3339(source.retired_at),
        "keys": [_credential(one) for one in source.keys],
        "secrets": [_credential(one) for one in source.secrets],
    }


def _credential(credential: Credential) -> dict[str, Any]:
    return {
        "id": credential.id,
        "created_at": rfc3339(credential.created_at),
        "ends_at": credential.ends_at and rfc3339(credential.ends_at),
    }
