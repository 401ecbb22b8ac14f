"""The limit: an identifier that ties more people than one can be, as info@ or a guest's id, is blocked by itself.

People are counted by the kinds of identifiers that name one person in one system. The block is a ruling older than any
that a person makes, so that unblocking holds for good; and it is a function of what is stored, so that whoever reads
the log again comes to the same.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain.ruling import BLOCK, Named, Ruling
from tierwise.security.personal import Vault
from tierwise_scoring.carry_out import CarryingOut
from tierwise_scoring.persons import read_group

log = structlog.get_logger()

TIES_MAX: Final = 50
"""People of one kind that an identifier may tie: more than a family's address or a shop's tablet does by accident, and
few enough that what they were together is folded again in no time."""

OF_ONE_PERSON: Final = ("user_id", "crm_id")
AUTHOR: Final = "limit"
_BEFORE_ANYBODY: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def crowded_among(tx: asyncpg.Connection, customers: Collection[int]) -> list[int]:
    """Those who have more of a kind that names one person than an identifier may tie."""
    if not customers:
        return []
    rows = await tx.fetch(
        """SELECT DISTINCT customer_id FROM identifiers WHERE customer_id = ANY($1::bigint[]) AND kind = ANY($2::text[])
           GROUP BY customer_id, kind HAVING count(*) > $3 ORDER BY customer_id""",
        list(customers),
        OF_ONE_PERSON,
        TIES_MAX,
    )
    return [row[0] for row in rows]


class _Crowding(NamedTuple):
    """An identifier that ties too many of a `kind`."""

    hash: bytes
    named: Named
    kind: str


@dataclass(frozen=True, slots=True)
class Limiting:
    """One customer who may be many."""

    engine: AsyncEngine
    rulebooks: Rulebooks
    vault: Vault
    customer: int

    async def run(self) -> None:
        for one in await self._crowding():
            ruling = Ruling(
                ruling=BLOCK,
                id=f"{AUTHOR}:{one.hash.hex()}",
                author=AUTHOR,
                time=_BEFORE_ANYBODY,
                identifiers=(one.hash.hex(),),
                named=one.named,
                reason=f"It tied more than {TIES_MAX} of the kind {one.kind}.",
            )
            log.warning("identifier_blocked", kind=one.named.kind, ties_more_than=TIES_MAX, of=one.kind)
            await CarryingOut(self.engine, self.rulebooks, self.vault, ruling).run()

    async def _crowding(self) -> list[_Crowding]:
        async with self.engine.begin() as connection:
            await self.rulebooks.hold_in_force(connection)  # nobody rules meanwhile
            tx = await driver_connection(connection)
            rows = await tx.fetch(
                "SELECT hash, kind, ciphertext FROM identifiers WHERE customer_id = $1", self.customer
            )
            group = await read_group(tx, [self.customer])
        known = {row["hash"]: row for row in rows}
        tied: dict[tuple[bytes, str], set[bytes]] = {}
        for one in group.stored:
            for other in () if one.is_checkpoint else one.tie:  # of that it is not known what tied what
                if other in known and (kind := known[other]["kind"]) in OF_ONE_PERSON:
                    for hash_ in one.tie:
                        tied.setdefault((hash_, kind), set()).add(other)
        crowding = sorted(pair for pair, others in tied.items() if len(others) > TIES_MAX and pair[0] in known)
        return [_Crowding(hash_, self._named(known[hash_]), kind) for hash_, kind in crowding]

    def _named(self, row: asyncpg.Record) -> Named:
        kind: str = row["kind"]
        return Named(kind, self.vault.open(row["ciphertext"], context=kind.encode()).decode())
