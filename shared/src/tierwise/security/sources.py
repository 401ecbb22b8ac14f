"""Sources by name, for requests that bring no write key: a provider's webhooks are known by their signature."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.tables import source_secrets, sources
from tierwise.domain.source import Source
from tierwise.problem import Unauthorized
from tierwise.security.fresh import FRESH_S, STALE_S, Fresh
from tierwise.security.keys import source_of
from tierwise.security.personal import Vault


class Unverified(Unauthorized):
    """The same answer whether there is no such source or the request is not signed with a secret of it."""

    def __init__(self) -> None:
        super().__init__(
            "There is no such source, or the request is not signed with its secret: `tierwise source show NAME` says "
            "how many it has, `tierwise source rotate NAME --secret` gives it one."
        )


class Webhook(NamedTuple):
    """A source and the secrets that are good now, the newest first; none where it was given none."""

    source: Source
    secrets: tuple[bytes, ...]


class Sources:
    """The look-up that goes with KeyRing, with the same freshness and the same patience with the database."""

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
        self._named = Fresh(self._load, what="Sources", fresh_s=fresh_s, stale_s=stale_s, clock=clock)
        self._origins = Fresh(self._load_origins, what="Sources", fresh_s=fresh_s, stale_s=stale_s, clock=clock)

    async def named(self, name: str) -> Webhook:
        """Raises Unverified (an Unauthorized) where there is none or it is retired, Unavailable."""
        found = await self._named.get(name) if 0 < len(name) <= _NAME_CHARACTERS_MAX and "\0" not in name else None
        if found is None:
            raise Unverified
        return found

    async def origins(self) -> frozenset[str]:
        """Of pages that may send to any source. Raises Unavailable."""
        return await self._origins.get(None) or frozenset()

    async def _load(self, name: str) -> Webhook | None:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_SELECT.where(sources.c.name == name))).all()
        if not rows:
            return None
        source = source_of(rows[0].id, rows[0].name, rows[0].trust, rows[0].intake)
        context = secret_context(source.id)
        sealed = [row.ciphertext for row in rows if row.ciphertext is not None]
        return Webhook(source, tuple(self._vault.open(ciphertext, context=context) for ciphertext in sealed))

    async def _load_origins(self, _: None) -> frozenset[str]:
        allowed = func.jsonb_array_elements_text(sources.c.intake["origins"]).label("origin")
        async with self._engine.connect() as connection:
            return frozenset(await connection.scalars(select(allowed).where(sources.c.retired_at.is_(None))))


_NAME_CHARACTERS_MAX: Final = 256  # what is longer was never made

_good = source_secrets.c.retired_at.is_(None) | (source_secrets.c.retired_at > func.now())
_SELECT = (
    select(sources, source_secrets.c.ciphertext)
    .outerjoin(source_secrets, (source_secrets.c.source_id == sources.c.id) & _good)
    .where(sources.c.retired_at.is_(None))
    .order_by(source_secrets.c.id.desc())
)


def secret_context(source_id: int) -> bytes:
    """What a secret is sealed with, so that it is nobody else's."""
    return b"secret of source %d" % source_id
