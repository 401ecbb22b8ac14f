"""Rebuilding: every customer is folded again from the stored interactions; what differs is named and repaired.

Customers are compared in a snapshot, so that live scoring waits for nothing. Those that differ there are locked, in
the order of their ids as everywhere, compared again as they are then, and repaired in the same transaction.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import asyncpg
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import driver_connection, snapshot
from tierwise.db.outbox import CHANNEL
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import attributes
from tierwise.domain.calendar import date_of
from tierwise.domain.customer_id import public_id
from tierwise.problem import NotFound
from tierwise.security.personal import Vault
from tierwise_scoring import store
from tierwise_scoring.changes import Cause, change_rows, found_in
from tierwise_scoring.check import COLUMNS, Checked, check, listed
from tierwise_scoring.difference import Difference
from tierwise_scoring.facets import write_facets
from tierwise_scoring.reviews import Due, write_reviews
from tierwise_scoring.segments import follow_segments

DIFFERENCES_KEPT: Final = 1_000
_PAGE: Final = 1_000

CAUSE: Final = "release"
"""Of the changes that a repair makes. Customers that differ are those that another version of the product folded, or
that were damaged. Neither did they do anything nor did time pass: as with a release, someone set them right."""


@dataclass(slots=True)
class Report:
    """Numbers of customers, but `interactions`, and of these `summed`: those in checkpoints, which are not folded
    again. `different`: those that differ; `parts`: how many differ in `table.part`. `differences`: the first
    DIFFERENCES_KEPT; `repaired` there says what would be, in a dry run."""

    customers: int = 0
    interactions: int = 0
    summed: int = 0
    different: int = 0
    repaired: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, checked: Checked, *, repaired: bool) -> None:
        for found in filter(None, checked.differences):
            self.different += 1
            self.parts.update(f"{one.table}.{one.part}" for one in found)
            told = (one._replace(repaired=one.repaired and repaired) for one in found)
            self.differences.extend(list(told)[: max(0, DIFFERENCES_KEPT - len(self.differences))])
        if repaired:
            self.repaired += len(checked.repairable)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """`repair`: else it only says what differs. `quiet`: the changes that repairs make are not published."""

    engine: AsyncEngine
    vault: Vault
    repair: bool = True
    quiet: bool = False
    rulebooks: Rulebooks = field(default_factory=Rulebooks)

    async def count(self) -> int:
        """Of the customers there are."""
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            return int(await tx.fetchval("SELECT count(*) FROM customers WHERE merged_into IS NULL"))

    async def everyone(self, progressed: Callable[[int], None] = lambda _: None) -> Report:
        """Everyone who is there when it begins. `progressed`: told the number of customers done."""
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            last = await tx.fetchval("SELECT max(id) FROM customers")
        report, after = Report(), -1
        while last is not None and after < last:
            after = await self._page(after, last, report)
            progressed(report.customers)
        return report

    async def one(self, customer_id: int) -> Report:
        """That one, or whom it was merged into. Raises NotFound."""
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            found = await tx.fetchval("SELECT coalesce(merged_into, id) FROM customers WHERE id = $1", customer_id)
        if found is None:
            raise NotFound(f"there is no customer {public_id(customer_id)}")
        report = Report()
        await self._page(found - 1, found, report)
        return report

    async def _page(self, after: int, last: int, report: Report) -> int:
        """The next customers of the ids (after, last]. Returns the last id done."""
        async with snapshot(self.engine) as connection:
            tx = await driver_connection(connection)
            rows = await tx.fetch(
                f"""SELECT {COLUMNS} FROM customers
                    WHERE id > $1 AND id <= $2 AND merged_into IS NULL ORDER BY id LIMIT $3""",
                after,
                last,
                _PAGE,
            )
            groups = await check(connection, rows, self.rulebooks, self.vault)
        report.customers += len(rows)
        report.interactions += sum(int(group.refolded.interactions.sum()) for group in groups)
        report.summed += sum(int(group.refolded.summed.sum()) for group in groups)
        if self.repair and (different := _different(groups)):
            async with self.engine.begin() as connection:
                groups = await self._repaired(connection, different)
        for group in groups:
            report.add(group, repaired=self.repair)
        return int(rows[-1]["id"]) if len(rows) == _PAGE else last

    async def _repaired(self, connection: AsyncConnection, ids: list[int]) -> list[Checked]:
        """As they are now that nobody else can change them, and what was repaired."""
        tx = await driver_connection(connection)
        rows = await tx.fetch(
            f"""SELECT {COLUMNS} FROM customers WHERE id = ANY($1::bigint[]) AND merged_into IS NULL
                ORDER BY id FOR UPDATE""",
            ids,
        )
        groups = await check(connection, rows, self.rulebooks, self.vault)
        for group in groups:
            if group.repairable:
                await repair(tx, group, quiet=self.quiet)
        return groups


async def repair(tx: asyncpg.Connection, checked: Checked, *, quiet: bool) -> None:
    """Write what is right over what differs, and record what changes by it. `tx`: holds the locks of the rows."""
    rows, rulebook = checked.rows, checked.rulebook
    now = max(await tx.fetchval("SELECT now()"), *(row["classified_at"] for row in rows))
    before, known = checked.stored_results()
    stage_moved = ~known | (before["stage"] != checked.after.result["stage"])
    mask = np.zeros(len(rows), np.bool_)
    mask[checked.repairable] = True

    def cause_of(_: int) -> Cause:
        return Cause(CAUSE, None, None, quiet)

    changes = change_rows(
        found_in(before, known, checked.after, rulebook, of=mask),
        [row["id"] for row in rows],
        [row["sequence"] for row in rows],
        cause_of,
        at=now,
        named=checked.named,
    )
    sequences = {row["id"]: row["sequence"] for row in rows} | {row[0]: row[1] for row in changes}
    today = date_of(rulebook.days.day_of(now))
    await _write(tx, checked, sequences, [today if moved else None for moved in stage_moved])
    await store.copy(tx, "changes", store.CHANGE_COLUMNS, changes)
    # When time would change them is not known any more: the sweep brings them to today and says when again.
    repaired = [rows[index]["id"] for index in checked.repairable]
    await write_reviews(tx, Due(repaired, [now] * len(repaired), []))
    last = [sequences[id_] for id_ in repaired]
    await follow_segments(tx, repaired, last, cause_of, rulebook, named=checked.named, at=now)
    if changes:
        await tx.execute("SELECT pg_notify($1, '')", CHANNEL)


async def _write(
    tx: asyncpg.Connection, checked: Checked, sequences: Mapping[int, int], stage_since: Sequence[date | None]
) -> None:
    """`sequences`: by id; `stage_since[c]`: None where it stays."""
    state, results = checked.refolded, checked.after.result
    rows = []
    for index in checked.repairable:
        id_ = checked.rows[index]["id"]
        others = any(one.part == "attributes" for one in checked.differences[index])
        rows.append(
            (
                id_,
                state.ledgers[index],
                attributes.pack(state.attributes[index]) if others else None,
                results[index].tobytes(),
                state.first_seen[index],
                state.last_seen[index],
                stage_since[index],
                sequences[id_],
            )
        )
    await tx.executemany(_UPDATE, rows)
    for index in checked.repairable:
        row = checked.rows[index]
        facets, measures = listed(row, index, state, checked.after, checked.rulebook)
        await write_facets(tx, [row["id"]], {0: facets}, measures)


# `classified_at` stays: what is written is true of that day.
_UPDATE = """
    UPDATE customers
    SET ledger = $2, attributes = coalesce($3, attributes), result = $4, first_seen = $5, last_seen = $6,
        stage_since = coalesce($7, stage_since), sequence = $8, version = version + 1
    WHERE id = $1"""


def _different(groups: list[Checked]) -> list[int]:
    return [row["id"] for group in groups for row, found in zip(group.rows, group.differences, strict=True) if found]
