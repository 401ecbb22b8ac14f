"""The release of a rulebook, or of its cuts: whoever names others, or was folded by other signals, is brought to those
in force.

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
from tierwise.domain import attributes, packed_ledger
from tierwise.domain.change import Bools
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.translate import Held, Translated, translate, unpack_results
from tierwise.folding.refold import refold
from tierwise.security.personal import Vault
from tierwise_scoring.changes import Cause
from tierwise_scoring.customers import Customers
from tierwise_scoring.reclassify import Reclassified, Standing, reclassify

log = structlog.get_logger()

_RELEASE: Final = "release"
_CUTS: Final = "cuts"


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
    older = np.array([named != rules.in_force.named for named in customers.named], np.bool_)
    folded = packed_ledger.folded_by(customers.ledgers, rules.rulebook.fold_version)
    stale = np.flatnonzero(customers.born & (older | ~folded)).tolist()
    if not stale:
        return customers, 0
    standing, done = await release(connection, customers, stale, rules, now)
    return _brought_up(customers, stale, standing, done, rules.in_force.named), done.changes


async def release(
    connection: AsyncConnection, customers: Customers, chosen: Sequence[int], rules: Rules, now: datetime
) -> tuple[Standing, Reclassified]:
    """Bring those at the ascending indexes `chosen` to the rulebook in force and its cuts, and store them."""
    standing, in_force = await standing_of(connection, customers, chosen, rules), rules.in_force
    cause_by = {named: _cause(named, in_force) for named in set(customers.named)}
    causes = [cause_by[customers.named[index]] for index in chosen]
    tx = await driver_connection(connection)
    return standing, await reclassify(tx, standing, in_force, now, cause_of=causes.__getitem__, at=now)


def _cause(named: tuple[int, int | None], in_force: InForce) -> Cause:
    """Of what bringing up changes for who names these."""
    if named[0] == in_force.id and named != in_force.named:
        return Cause(_CUTS, None, None, in_force.cuts_quiet)
    return Cause(_RELEASE, None, None, in_force.quiet)


def _brought_up(
    customers: Customers,
    stale: Sequence[int],
    standing: Standing,
    done: Reclassified,
    named: tuple[int, int | None],
) -> Customers:
    ledgers, held, results = list(customers.ledgers), list(customers.attributes), list(customers.results)
    sequences, names = list(customers.sequences), list(customers.named)
    for position, index in enumerate(stale):
        ledgers[index], held[index] = standing.ledgers[position], standing.attributes[position]
        results[index], sequences[index] = done.result[position].tobytes(), done.sequences[position]
        names[index] = named
    return replace(
        customers,
        ledgers=ledgers,
        attributes=held,
        results=results,
        sequences=sequences,
        named=names,
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
    refolded = ~packed_ledger.folded_by(ledgers, rules.rulebook.fold_version)
    if refolded.any():
        await fold_again(tx, ids, ledgers, held, refolded, rules)
    return Standing(
        ids,
        [customers.sequences[index] for index in chosen],
        ledgers,
        held,
        before,
        known,
        refolded,
        np.array([customers.named[index] != rules.in_force.named for index in chosen], np.bool_),
    )


async def _before(
    connection: AsyncConnection, customers: Customers, chosen: Sequence[int], rules: Rules
) -> tuple[Translated, Bools]:
    """What they were classified as; and of whom that can be read."""
    by_rulebook: defaultdict[int, list[int]] = defaultdict(list)
    for position, index in enumerate(chosen):
        by_rulebook[customers.named[index][0]].append(position)
    known = np.zeros(len(chosen), np.bool_)
    held = []
    for rulebook_id, positions in by_rulebook.items():
        is_same = rulebook_id == rules.in_force.id
        rulebook = rules.rulebook if is_same else await rules.rulebooks.get(connection, rulebook_id)
        stored, known[positions] = unpack_results(
            [customers.results[chosen[position]] for position in positions], rulebook
        )
        held.append(Held(rulebook, np.array(positions, np.int64), stored))
    return translate(held, len(chosen), rules.rulebook), known


async def fold_again(
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
            [ledgers[index]] = packed_ledger.pack(packed_ledger.unpack([ledgers[index]]), rules.rulebook.fold_version)
    if lost:
        log.error("customers_not_folded_again", customers=lost, reason="their interactions are gone or unreadable")
