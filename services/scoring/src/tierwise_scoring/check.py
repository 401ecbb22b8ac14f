"""Checking stored customers: each against its own interactions, folded and classified again as it was."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import packed_ledger
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.customer_id import public_id
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.translate import unpack_results
from tierwise.folding.refold import Refolded, refold
from tierwise.security.personal import Vault
from tierwise_scoring.difference import (
    Difference,
    attributes_difference,
    facets_difference,
    ledger_difference,
    moment_difference,
    result_difference,
)
from tierwise_scoring.facets import Facets, facets_of, read_facets
from tierwise_scoring.measures import Measures, measures_of

COLUMNS = "id, ledger, attributes, result, rulebook_id, cuts, first_seen, last_seen, classified_at, sequence"
"""Of the table `customers`: what a row needs to be checked."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Customers that one rulebook classified, with the same of its cuts. `rows[c]`, `refolded`, `after` and
    `differences[c]` (none: as it should be) are by customer, in the order of their ids."""

    named: tuple[int, int | None]
    rulebook: Rulebook
    rows: Sequence[asyncpg.Record]
    refolded: Refolded
    after: Classifications
    differences: Sequence[Sequence[Difference]]

    @property
    def repairable(self) -> list[int]:
        """The customers that differ and of which the interactions tell what is right."""
        return [index for index, found in enumerate(self.differences) if found and found[0].repaired]

    def stored_results(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.bool_]]:
        """The stored classifications, and which of them can be read."""
        return unpack_results([row["result"] for row in self.rows], self.rulebook)


async def check(
    connection: AsyncConnection, rows: Sequence[asyncpg.Record], rulebooks: Rulebooks, vault: Vault
) -> list[Checked]:
    """`rows`: of COLUMNS, in the order of their ids, none of them merged away. `connection`: in a transaction that
    sees one state of these customers: a snapshot, or the rows are locked.

    Each is folded and classified by the rulebook and on the business day that its row names: bringing customers to
    another rulebook or another day is no repair.
    """
    tx = await driver_connection(connection)
    facets = await read_facets(tx, [row["id"] for row in rows])
    by_rulebook: defaultdict[tuple[int, int | None], list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_rulebook[row["rulebook_id"], row["cuts"]].append(row)
    checked = []
    for named, members in by_rulebook.items():
        rulebook = await rulebooks.get(connection, *named)
        refolded = await refold(tx, [row["id"] for row in members], rulebook, vault)
        after = _classified(members, refolded, rulebook)
        differences = [
            list(_differences(row, facets.get(row["id"]), index, refolded, after, rulebook, vault))
            for index, row in enumerate(members)
        ]
        checked.append(Checked(named, rulebook, members, refolded, after, differences))
    return checked


def _classified(rows: Sequence[asyncpg.Record], refolded: Refolded, rulebook: Rulebook) -> Classifications:
    by_day: defaultdict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_day[rulebook.days.day_of(row["classified_at"])].append(index)
    result = np.zeros(len(rows), rulebook.result)
    parts = np.zeros((len(rulebook.points) + len(rulebook.fit), len(rows)), np.int64)
    for members in by_day.values():
        ledgers = packed_ledger.unpack([refolded.ledgers[index] for index in members])
        columns = attribute_columns([refolded.attributes[index] for index in members], rulebook)
        that_day = classify(ledgers, columns, rows[members[0]]["classified_at"], rulebook)
        result[members], parts[:, members] = that_day.result, that_day.parts
    return Classifications(result, parts)


def _differences(
    row: asyncpg.Record,
    facets: Mapping[str, Any] | None,
    index: int,
    refolded: Refolded,
    after: Classifications,
    rulebook: Rulebook,
    vault: Vault,
) -> Iterator[Difference]:
    """A customer whose interactions are gone or unreadable differs in them, and cannot be compared further."""
    customer = public_id(row["id"])
    if not refolded.interactions[index]:
        yield Difference(customer, "interactions", "*", "none are stored", repaired=False)
        return
    if unreadable := refolded.unreadable.get(index):
        which = f"cannot be read: {len(unreadable)}, the first is {unreadable[0]}"
        yield Difference(customer, "interactions", "body", which, repaired=False)
        return
    right = after.result[index]
    found = {
        "ledger": ledger_difference(row["ledger"], refolded.ledgers[index], rulebook.horizon_day(row["classified_at"])),
        "attributes": attributes_difference(row["attributes"], refolded.attributes[index], vault),
        "first_seen": moment_difference(row["first_seen"], refolded.first_seen[index]),
        "last_seen": moment_difference(row["last_seen"], refolded.last_seen[index]),
        "result": result_difference(row["result"], right, rulebook),
    }
    for part, detail in found.items():
        if detail is not None:
            yield Difference(customer, "customers", part, detail, repaired=True)
    right_facets, measures = listed(row, index, refolded, after, rulebook)
    lists = facets_difference(facets, right_facets._asdict() | measures.row(0))
    if lists is not None:
        yield Difference(customer, "customer_facets", "*", lists, repaired=True)


def listed(
    row: asyncpg.Record, index: int, refolded: Refolded, after: Classifications, rulebook: Rulebook
) -> tuple[Facets, Measures]:
    """What the row of facets of the customer at `index` should say."""
    held, today = refolded.attributes[index], rulebook.days.day_of(row["classified_at"])
    rows = packed_ledger.unpack([refolded.ledgers[index]])
    result = after.result[index : index + 1]
    [facets] = facets_of(result, [held], rulebook, today)
    return facets, measures_of(rows, result, [held], rulebook, today)
