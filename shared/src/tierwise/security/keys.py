"""Write keys of sources and read keys of readers. Only keyed hashes are stored; the secret is shown once.

A secret is `tw_w_ID_RANDOM` (write) or `tw_r_ID_RANDOM` (read): the id finds the row, the whole is compared.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, cast

import msgspec
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.tables import keys, sources
from tierwise.domain.source import Intake, Source, Trust
from tierwise.problem import NotFound, Problem, Unauthorized
from tierwise.security.fresh import FRESH_S, STALE_S, Fresh
from tierwise.security.personal import Vault

Kind = Literal["write", "read"]

DEFAULT_SCOPES = ("profiles:read", "timeline:read", "statistics:read", "export")
"""Every scope that reads, but personal data."""
SCOPES = (*DEFAULT_SCOPES, "pii:read", "write", "admin")

_LETTER: dict[Kind, str] = {"write": "w", "read": "r"}
_ID_BYTES = 6
_SECRET_LENGTH_MAX = 100


class SourceExists(Problem):
    status, code, title = 409, "source_exists", "The source is trusted with something else"


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a read key. `customer`: the only one whom they may read, None: all; `rate_per_s`: of requests, None:
    without a limit; `ends_s`: when the token that says so does, in seconds since 1970, None: never by itself."""

    id: str
    name: str
    scopes: frozenset[str]
    customer: int | None = None
    rate_per_s: float | None = None
    ends_s: float | None = None


class Created(NamedTuple):
    """`secret` is stored nowhere."""

    id: str
    name: str
    secret: str


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the list of keys. `scopes` of a read key, `source` of a write key."""

    id: str
    kind: Kind
    name: str
    source: str | None
    scopes: Sequence[str]
    created_at: datetime
    revoked_at: datetime | None


async def create_write_key(connection: AsyncConnection, vault: Vault, *, source: str, trust: Trust) -> Created:
    """A further key of the source, which is made the first time. Raises SourceExists where its trust is another, or
    where it is retired."""
    stored = msgspec.to_builtins(trust)
    await connection.execute(insert(sources).values(name=source, trust=stored).on_conflict_do_nothing())
    found = (await connection.execute(select(sources).where(sources.c.name == source))).one()
    if found.retired_at is not None:
        raise SourceExists(f"The source {source} is retired: give this one another name.")
    if msgspec.convert(found.trust, Trust) != trust:
        raise SourceExists(
            f"The source {source} exists and may assert something else: give this one another name, or that one a new "
            f"key with `tierwise source rotate {source}`."
        )
    return await add_write_key(connection, vault, source_id=found.id, name=source)


async def add_write_key(connection: AsyncConnection, vault: Vault, *, source_id: int, name: str) -> Created:
    """A further key of a source that is there, called `name`."""
    return await _create(connection, vault, "write", name, source_id=source_id)


async def create_read_key(
    connection: AsyncConnection,
    vault: Vault,
    *,
    name: str,
    scopes: Iterable[str] = DEFAULT_SCOPES,
    rate_per_s: float | None = None,
) -> Created:
    """`rate_per_s`: how many requests it may make; None: without a limit. Raises ValueError for a scope that does not
    exist."""
    wanted = frozenset(scopes)
    if unknown := wanted - set(SCOPES):
        raise ValueError(f"unknown scope {', '.join(sorted(unknown))}: there are {', '.join(SCOPES)}")
    held = [scope for scope in SCOPES if scope in wanted]
    return await _create(connection, vault, "read", name, scopes=held, rate_per_s=rate_per_s)


async def list_keys(connection: AsyncConnection) -> list[Key]:
    """All keys, revoked ones too, the oldest first."""
    rows = await connection.execute(_SELECT.order_by(keys.c.created_at, keys.c.id))
    return [Key(row.id, _kind(row), row.name, row.source, row.scopes, row.created_at, row.revoked_at) for row in rows]


async def revoke_key(connection: AsyncConnection, key_id: str) -> None:
    """Services refuse it within the life of their caches. Revoking again changes nothing. Raises NotFound."""
    revoked = func.least(keys.c.revoked_at, func.now())  # of which NULL is none
    done = await connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=revoked))
    if not done.rowcount:
        raise NotFound(f"There is no key {key_id}: `tierwise key list` shows them.")


class _Held(NamedTuple):
    """Who holds a key."""

    hash: bytes
    revoked: bool
    holder: Source | Reader


class KeyRing:
    """Tells whose a secret is. Revocation takes effect after `fresh_s`; while the database is away, keys that
    were seen in the last `stale_s` go on working. Safe for concurrent use by the tasks of one event loop."""

    def __init__(
        self,
        engine: AsyncEngine,
        vault: Vault,
        *,
        fresh_s: float = FRESH_S,
        stale_s: float = STALE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._vault = engine, vault
        self._held = Fresh(self._load, what="Keys", fresh_s=fresh_s, stale_s=stale_s, clock=clock)

    async def authenticate_write(self, secret: str) -> Source:
        """Raises Unauthorized, Unavailable."""
        return cast(Source, await self._authenticate("write", secret))

    async def authenticate_read(self, secret: str) -> Reader:
        """Raises Unauthorized, Unavailable."""
        return cast(Reader, await self._authenticate("read", secret))

    async def reader(self, key_id: str) -> Reader:
        """Who holds a read key, by its id, if it is still good. Raises Unauthorized, Unavailable."""
        held = await self._held.get(key_id)
        if held is None or held.revoked or not isinstance(held.holder, Reader):
            raise Unauthorized("The key behind this was revoked.")
        return held.holder

    async def _authenticate(self, kind: Kind, secret: str) -> Source | Reader:
        held = await self._held.get(_id_of(kind, secret))
        if held is None or not hmac.compare_digest(held.hash, self._vault.key_hash(secret)):
            raise Unauthorized("This key is unknown.")
        if held.revoked:
            raise Unauthorized("This key was revoked.")
        if isinstance(held.holder, Source) != (kind == "write"):
            raise Unauthorized("This key is unknown.")
        return held.holder

    async def _load(self, key_id: str) -> _Held | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_SELECT.where(keys.c.id == key_id))).one_or_none()
        return None if row is None else _Held(row.hash, bool(row.revoked), _holder(row))


_SELECT = select(
    keys,
    (keys.c.revoked_at <= func.now()).label("revoked"),
    sources.c.name.label("source"),
    sources.c.trust,
    sources.c.intake,
).outerjoin(sources)


async def _create(
    connection: AsyncConnection,
    vault: Vault,
    kind: Kind,
    name: str,
    *,
    source_id: int | None = None,
    scopes: Sequence[str] = (),
    rate_per_s: float | None = None,
) -> Created:
    key_id = secrets.token_hex(_ID_BYTES)
    secret = f"tw_{_LETTER[kind]}_{key_id}_{secrets.token_urlsafe(32)}"
    row = {
        "id": key_id,
        "name": name,
        "hash": vault.key_hash(secret),
        "source_id": source_id,
        "scopes": list(scopes),
        "rate_per_s": rate_per_s,
    }
    await connection.execute(insert(keys).values(row))
    return Created(key_id, name, secret)


def _id_of(kind: Kind, secret: str) -> str:
    parts = secret.split("_", 3) if len(secret) <= _SECRET_LENGTH_MAX and secret.isascii() else ()
    if len(parts) != 4 or parts[0] != "tw" or parts[1] not in _LETTER.values() or not parts[2].isalnum():
        raise Unauthorized(f"This is no key: a {kind} key begins with tw_{_LETTER[kind]}_.")
    if parts[1] != _LETTER[kind]:
        raise Unauthorized(f"This is a key of the other kind: a {kind} key (tw_{_LETTER[kind]}_) is needed here.")
    return parts[2]


def _kind(row: Row[Any]) -> Kind:
    return "read" if row.source_id is None else "write"


def _holder(row: Row[Any]) -> Source | Reader:
    if row.source_id is None:
        return Reader(id=row.id, name=row.name, scopes=frozenset(row.scopes), rate_per_s=row.rate_per_s)
    return source_of(row.source_id, row.source, row.trust, row.intake)


def source_of(id: int, name: str, trust: dict[str, Any], intake: dict[str, Any]) -> Source:  # noqa: A002
    """From the columns of its row."""
    return Source(id=id, name=name, trust=msgspec.convert(trust, Trust), intake=msgspec.convert(intake, Intake))
