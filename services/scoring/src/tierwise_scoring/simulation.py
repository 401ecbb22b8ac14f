"""Simulating a release: what would become of every customer under another rulebook. Nothing is written."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import driver_connection, snapshot
from tierwise.db.rulebooks import InForce, Rulebooks
from tierwise.domain import attributes, packed_ledger
from tierwise.domain.change import INTENT, LIFECYCLE, TIER, Bools, Results, differences
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.customer_id import public_id
from tierwise.domain.rulebook import Rulebook
from tierwise.security.personal import Vault
from tierwise_scoring.customers import Customers, read_page
from tierwise_scoring.reclassify import Standing
from tierwise_scoring.release import Rules, standing_of

_PAGE: Final = 2_000
_PAGE_REFOLDED: Final = 500

_MATRICES: Final = ((TIER, "tier", "tiers"), (INTENT, "level", "levels"), (LIFECYCLE, "stage", "stages"))
"""Aspect, the field of a result, and what its codes index in Names."""


class Mover(NamedTuple):
    """A customer who would be somewhere else. Pairs are (before, after); `tier_score` in hundredths, `score` in
    tenths. `steps`: how many tiers it goes up or down."""

    customer_id: str
    tier: tuple[str, str]
    tier_score: tuple[int, int]
    level: tuple[str, str]
    score: tuple[int, int]
    stage: tuple[str, str]
    steps: int

    @property
    def distance(self) -> tuple[int, int, int]:
        """The tiers decide, then the tier score, then the intent score."""
        return self.steps, abs(self.tier_score[1] - self.tier_score[0]), abs(self.score[1] - self.score[0])


@dataclass(slots=True)
class Moves:
    """`customers`: all; `changed`: those of whom a change would be recorded; `changes`: how many, by aspect.
    `matrices`: by aspect, how many go from one name to another, or stay. `movers`: who moves most, those first."""

    customers: int = 0
    changed: int = 0
    refolded: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    matrices: dict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: {aspect: Counter() for aspect, _, _ in _MATRICES}
    )
    movers: list[Mover] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Simulation:
    """`rulebook`: the one that is tried. `movers_max`: how many movers are kept."""

    engine: AsyncEngine
    vault: Vault
    rulebook: Rulebook
    movers_max: int = 20
    rulebooks: Rulebooks = field(default_factory=Rulebooks)

    async def everyone(self, progressed: Callable[[int], None] = lambda _: None) -> Moves:
        """`progressed`: told the number of customers done."""
        rules = Rules(InForce(0, self.rulebook, quiet=True), self.rulebooks, self.vault)
        moves, after = Moves(), -1
        async with self.engine.connect() as connection:
            in_force = await self.rulebooks.in_force(connection)
        size = _PAGE if in_force.rulebook.fold_version == self.rulebook.fold_version else _PAGE_REFOLDED
        while True:
            async with snapshot(self.engine) as connection:
                customers = await read_page(await driver_connection(connection), after, size)
                if customers.classified_at is None:
                    return moves
                await self._page(connection, customers, customers.classified_at, rules, moves)
            after = customers.ids[-1]
            progressed(moves.customers)

    async def _page(
        self, connection: AsyncConnection, customers: Customers, not_before: datetime, rules: Rules, moves: Moves
    ) -> None:
        tx = await driver_connection(connection)
        now = max(await tx.fetchval("SELECT now()"), not_before)
        standing = await standing_of(connection, customers, range(len(customers.ids)), rules)
        held = [attributes.unpack(one) for one in standing.attributes]
        ledgers, columns = packed_ledger.unpack(standing.ledgers), attribute_columns(held, self.rulebook)
        after = classify(ledgers, columns, now, self.rulebook)
        moves.customers += len(customers.ids)
        moves.refolded += int(standing.refolded.sum())
        _count_changes(standing, after, self.rulebook, moves)
        _count_moves(standing, after.result, self.rulebook, moves)
        found = _movers(standing, after.result, self.rulebook, self.movers_max)
        moves.movers = heapq.nlargest(self.movers_max, [*moves.movers, *found], key=lambda mover: mover.distance)


def _count_changes(standing: Standing, after: Classifications, rulebook: Rulebook, moves: Moves) -> None:
    before = standing.before
    changed: Bools = np.zeros(len(standing.ids), np.bool_)
    for change in (*differences(before.result, standing.known, after, rulebook, before.names), *before.gone):
        moves.changes[change.aspect] += len(change.customer)
        changed[change.customer] = True
    moves.changed += int(changed.sum())


def _count_moves(standing: Standing, after: Results, rulebook: Rulebook, moves: Moves) -> None:
    before, known = standing.before, standing.known
    for aspect, name, names in _MATRICES:
        old_names: tuple[str, ...] = getattr(before.names, names)
        pairs = np.stack([before.result[name][known], after[name][known]], axis=1)
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        for (old, new), count in zip(found.tolist(), counts.tolist(), strict=True):
            moves.matrices[aspect][old_names[old], old_names[new]] += count


def _movers(standing: Standing, after: Results, rulebook: Rulebook, limit: int) -> Iterator[Mover]:
    before, names = standing.before.result, standing.before.names
    # A tier that is no more counts as the next below the last one.
    last = len(rulebook.tier_names)
    steps = np.abs(after["tier"].astype(np.int64) - np.minimum(before["tier"], last))
    tier_distance = np.abs(after["tier_score"].astype(np.int64) - before["tier_score"])
    distance = np.abs(after["score"].astype(np.int64) - before["score"])
    moved = standing.known & ((steps > 0) | (tier_distance > 0) | (distance > 0))
    order = np.lexsort((distance, tier_distance, steps))[::-1]
    for index in order[moved[order]][:limit].tolist():
        old, new = before[index], after[index]
        yield Mover(
            public_id(standing.ids[index]),
            _pair(old, new, "tier", names.tiers),
            (int(old["tier_score"]), int(new["tier_score"])),
            _pair(old, new, "level", names.levels),
            (int(old["score"]), int(new["score"])),
            _pair(old, new, "stage", names.stages),
            int(steps[index]),
        )


def _pair(old: Any, new: Any, name: str, names: tuple[str, ...]) -> tuple[str, str]:
    """The extended names begin with the new rulebook's, so they hold for both."""
    return names[old[name]], names[new[name]]
