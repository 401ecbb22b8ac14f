"""The release of a rulebook: whoever names another one, or was folded by other signals, is brought to the one in force.

That is a step of its own, with changes of its own cause, before anything else is done with a customer: so scoring, the
sweep and the release's pass go on as if there had never been another rulebook.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import asyncpg
import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import InForce, Rulebooks
from tierwise.domain import attributes, ledger
from tierwise.domain.change import Bools
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.translate import Held, Translated, translate, unpack_results
from tierwise.security.personal import Vault
from tierwise_scoring.changes import Cause
from tierwise_scoring.customers import Customers
from tierwise_scoring.reclassify import Reclassified, Standing, reclassify
from tierwise_scoring.refold import refold

log = structlog.get_logger()

CAUSE: Final = "release"


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a transaction classifies: the rulebook in force, and those that customers may still name."""

    in_force: InForce
    rulebooks: Rulebooks
    vault: Vault

    @property
    def rulebook(self) -> Rulebook:
        return self.in_force.rulebook


async def bring_up(
    connection: AsyncConnection, customers: Customers, rules: Rules, now: datetime
) -> tuple[Customers, int]:
    """Locked customers as the rulebook in force has them at `now`, and the number of changes that this made."""
    older = np.array(customers.rulebook_ids, np.int64) != rules.in_force.id
    folded = ledger.folded_by(customers.ledgers, rules.rulebook.fold_version)
    stale = np.flatnonzero(customers.born & (older | ~folded)).tolist()
    if not stale:
        return customers, 0
    standing, done = await release(connection, customers, stale, rules, now)
    return _brought_up(customers, stale, standing, done, rules.in_force.id), done.changes


async def release(
    connection: AsyncConnection, customers: Customers, chosen: Sequence[int], rules: Rules, now: datetime
) -> tuple[Standing, Reclassified]:
    """Bring those at the ascending indexes `chosen` to the rulebook in force, and store them."""
    standing = await standing_of(connection, customers, chosen, rules)
    cause = Cause(CAUSE, None, None, rules.in_force.quiet)
    tx = await driver_connection(connection)
    return standing, await reclassify(tx, standing, rules.in_force, now, cause=cause, at=now)


def _brought_up(
    customers: Customers, stale: Sequence[int], standing: Standing, done: Reclassified, rulebook_id: int
) -> Customers:
    ledgers, held, results = list(customers.ledgers), list(customers.attributes), list(customers.results)
    sequences, rulebook_ids = list(customers.sequences), list(customers.rulebook_ids)
    for position, index in enumerate(stale):
        ledgers[index], held[index] = standing.ledgers[position], standing.attributes[position]
        results[index], sequences[index] = done.result[position].tobytes(), done.sequences[position]
        rulebook_ids[index] = rulebook_id
    return replace(
        customers,
        ledgers=ledgers,
        attributes=held,
        results=results,
        sequences=sequences,
        rulebook_ids=rulebook_ids,
    )


async def standing_of(
    connection: AsyncConnection, customers: Customers, chosen: Sequence[int], rules: Rules
) -> Standing:
    """Those at the ascending indexes `chosen`, whatever rulebooks they name: folded again where need be, and what they
    were in the layout of the rulebook in force. Stores nothing."""
    tx = await driver_connection(connection)
    before, known = await _before(connection, customers, chosen, rules)
    ledgers = [customers.ledgers[index] for index in chosen]
    held = [customers.attributes[index] for index in chosen]
    ids = [customers.ids[index] for index in chosen]
    refolded = ~ledger.folded_by(ledgers, rules.rulebook.fold_version)
    if refolded.any():
        await _fold_again(tx, ids, ledgers, held, refolded, rules)
    return Standing(
        ids,
        [customers.sequences[index] for index in chosen],
        ledgers,
        held,
        before,
        known,
        refolded,
        np.array([customers.rulebook_ids[index] != rules.in_force.id for index in chosen], np.bool_),
    )


async def _before(
    connection: AsyncConnection, customers: Customers, chosen: Sequence[int], rules: Rules
) -> tuple[Translated, Bools]:
    """What they were classified as; and of whom that can be read."""
    by_rulebook: defaultdict[int, list[int]] = defaultdict(list)
    for position, index in enumerate(chosen):
        by_rulebook[customers.rulebook_ids[index]].append(position)
    known = np.zeros(len(chosen), np.bool_)
    held = []
    for rulebook_id, positions in by_rulebook.items():
        rulebook = await rules.rulebooks.get(connection, rulebook_id)
        stored, known[positions] = unpack_results(
            [customers.results[chosen[position]] for position in positions], rulebook
        )
        held.append(Held(rulebook, np.array(positions, np.int64), stored))
    return translate(held, len(chosen), rules.rulebook), known


async def _fold_again(
    tx: asyncpg.Connection, ids: list[int], ledgers: list[bytes], held: list[bytes], which: Bools, rules: Rules
) -> None:
    """Replace, in place, the ledgers and attributes of `which` customers by those that their interactions give."""
    chosen = np.flatnonzero(which).tolist()
    again = await refold(tx, [ids[index] for index in chosen], rules.rulebook, rules.vault)
    lost = 0
    for position, index in enumerate(chosen):
        if again.interactions[position] and position not in again.unreadable:
            ledgers[index] = again.ledgers[position]
            held[index] = attributes.pack(again.attributes[position])
        else:  # what is known of them is what they hold: the signals that are still there keep counting
            lost += 1
            [ledgers[index]] = ledger.pack(ledger.unpack([ledgers[index]]), rules.rulebook.fold_version)
    if lost:
        log.error("customers_not_folded_again", customers=lost, reason="their interactions are gone or unreadable")
