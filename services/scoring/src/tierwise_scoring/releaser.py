"""The release's pass: every customer comes to the rulebook in force and its cuts, while live scoring goes on.

Any number of workers may be at it: they take pages by a cursor that they share. But what counts is the customers'
rows, each of which names its rulebook and cuts: who was held by others when the pass came by, or was with a worker
that was killed, is found at the end, and waited for.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.db.rulebooks import InForce, Rulebooks, newest_release
from tierwise.problem import NotFound
from tierwise.security.personal import Vault
from tierwise_scoring.customers import OTHERS, lock_others
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.release import Rules, release

log = structlog.get_logger()

_EVERY_S: Final = 0.5
_AT_ONCE: Final = 2  # the database works on one page while we classify the other
_PAGE_S: Final = 0.15  # so long a worker may have to wait for a customer
_PAGE_MIN: Final = 20  # where their interactions are folded again


class Overtaken(Exception):  # noqa: N818
    """Another rulebook was published meanwhile, or cuts were taken: everyone is to come to those."""


@dataclass(frozen=True, slots=True)
class Releaser:
    """`run` until cancelled. `page_max`: customers in one transaction, fewer where that takes too long."""

    engine: AsyncEngine
    vault: Vault
    rulebooks: Rulebooks
    metrics: ScoringMetrics
    page_max: int = 2_000

    async def run(self) -> None:
        """Goes on after outages of the database."""
        while True:
            try:
                await self.release()
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("release_waits", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_S)

    async def release(self) -> int:
        """Bring everyone to the rulebook in force and its cuts. Returns how many this worker has; 0 where it was done
        before."""
        released = 0
        while True:
            try:
                async with self.engine.connect() as connection:
                    newest = await newest_release(connection)
                    if newest.released_at is not None:
                        return released
                    in_force = await self.rulebooks.in_force(connection)
                passing = _Pass(self, in_force.named, size=self.page_max)
                try:
                    await passing.run()
                finally:
                    released += passing.customers
                    self.metrics.released.inc(passing.customers)
                told = {"rulebook": newest.version, "cuts": in_force.rulebook.cuts_number}
                log.info("release_done", **told, customers=passing.customers)
            except Overtaken:
                continue
            except NotFound:  # before `tierwise migrate` has come to its end
                return released


@dataclass(slots=True)
class _Pass:
    """Of one release, to the rulebook and cuts `named`. `size`: how many ids make a page, so that it takes about
    _PAGE_S; `customers`: how many were brought to it."""

    releaser: Releaser
    named: tuple[int, int | None]
    size: int
    customers: int = 0

    async def run(self) -> None:
        """Raises Overtaken."""
        walks = await asyncio.gather(*(self._walk() for _ in range(_AT_ONCE)), return_exceptions=True)
        for error in walks:
            if error is not None:
                raise error
        while (page := await self._left()) is not None:
            await self._page(page, wait=True)
        async with self.releaser.engine.begin() as connection:
            await self._hold(connection)
            tx = await driver_connection(connection)
            done = "UPDATE rulebooks SET released_at = now() WHERE id = $1 AND released_at IS NULL"
            await tx.execute(done, self.named[0])

    async def _walk(self) -> None:
        while (page := await self._next()) is not None:
            await self._page(page)

    async def _next(self) -> tuple[int, int] | None:
        """The ids of the next page that nobody has taken, first and last."""
        async with self.releaser.engine.begin() as connection:
            tx = await driver_connection(connection)
            await tx.execute("SET LOCAL synchronous_commit = off")  # what is forgotten is found by `_left`
            reached = await tx.fetchval("SELECT reached FROM rulebooks WHERE id = $1 FOR UPDATE", self.named[0])
            last = await tx.fetchval(
                "SELECT max(id) FROM (SELECT id FROM customers WHERE id > $1 ORDER BY id LIMIT $2) AS page",
                reached,
                self.size,
            )
            if last is None:
                return None
            await tx.execute("UPDATE rulebooks SET reached = $2 WHERE id = $1", self.named[0], last)
            return reached + 1, last

    async def _left(self) -> tuple[int, int] | None:
        """The same of those that others held when the pass came by, or that were with a worker that died."""
        async with self.releaser.engine.connect() as connection:
            tx = await driver_connection(connection)
            row = await tx.fetchrow(
                f"""SELECT min(id), max(id) FROM
                       (SELECT id FROM customers WHERE {OTHERS} ORDER BY id LIMIT $3) AS page""",
                *self.named,
                self.size,
            )
        return None if row[0] is None else (row[0], row[1])

    async def _page(self, page: tuple[int, int], *, wait: bool = False) -> None:
        """Raises Overtaken."""
        of, started = self.releaser, time.monotonic()
        async with of.engine.begin() as connection:
            in_force = await self._hold(connection)
            tx = await driver_connection(connection)
            customers = await lock_others(tx, in_force.named, *page, wait=wait)
            if customers.classified_at is None:
                return
            now = max(await tx.fetchval("SELECT now()"), customers.classified_at)
            rules = Rules(in_force, of.rulebooks, of.vault)
            await release(connection, customers, range(len(customers.ids)), rules, now)
        self.customers += len(customers.ids)
        took_s = time.monotonic() - started
        self.size = min(max(round(self.size * min(_PAGE_S / took_s, 2)), _PAGE_MIN), of.page_max)

    async def _hold(self, connection: AsyncConnection) -> InForce:
        """Raises Overtaken."""
        in_force = await self.releaser.rulebooks.hold_in_force(connection)
        if in_force.named != self.named:
            raise Overtaken
        return in_force
