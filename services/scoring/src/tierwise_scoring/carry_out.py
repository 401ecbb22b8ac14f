"""Carrying a ruling out: who is who is decided anew among the customers whom it concerns, and they are folded again
from what is theirs.

It is one transaction, in which nobody else writes customers; done again it finds the ruling known. So it may be met in
any partition and at any time: whatever comes later is resolved by it, and what came before is put right here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg
import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.db.outbox import CHANNEL
from tierwise.db.rulebooks import Rulebooks, hold_alone
from tierwise.domain import attributes
from tierwise.domain.change import ERASE, MERGE, SPLIT, names_of
from tierwise.domain.ruling import Ruling
from tierwise.domain.source import BY_HAND
from tierwise.domain.translate import Translated
from tierwise.folding.refold import refold
from tierwise.security.personal import Vault
from tierwise_scoring import store
from tierwise_scoring.changes import Cause, Found, change_rows
from tierwise_scoring.customers import (
    Customers,
    add_customers,
    lock_customers,
    new_customer_ids,
    remove_customers,
    results_of,
    set_persons,
)
from tierwise_scoring.erasure import delete_interactions, holders_of, note_erased
from tierwise_scoring.holding import hold_identifiers, store_under
from tierwise_scoring.persons import Group, Persons, persons_of, read_group, stored_under, touched
from tierwise_scoring.reclassify import Standing, reclassify
from tierwise_scoring.release import Rules, bring_up
from tierwise_scoring.rulings import add_ruling, concerned_by

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CarryingOut:
    """One ruling, to be `run` before what stands behind it in a partition is scored."""

    engine: AsyncEngine
    rulebooks: Rulebooks
    vault: Vault
    ruling: Ruling

    async def run(self) -> int:
        """Returns how many interactions it has erased."""
        async with self.engine.begin() as connection:
            await hold_alone(connection)
            tx = await driver_connection(connection)
            if not await add_ruling(tx, self.ruling, self.vault):
                return 0
            hashes = [bytes.fromhex(one) for one in (*self.ruling.identifiers, *self.ruling.others)]
            concerned = await concerned_by(tx, hashes)
            if not concerned:
                return 0
            rules = Rules(await self.rulebooks.in_force(connection), self.rulebooks, self.vault)
            group = await read_group(tx, concerned)
            erased = {group.person[one.customer_id] for one in group.erased} & await holders_of(tx, hashes)
            await self._regroup(connection, group, erased, rules)
        log.info("ruling_carried_out", ruling=self.ruling.ruling, erased=len(group.erased))
        return len(group.erased)

    async def _regroup(self, connection: AsyncConnection, group: Group, erased: set[int], rules: Rules) -> None:
        """`erased`: the customers who were erased, of whom something may be left that came later."""
        tx = await driver_connection(connection)
        live = {id_ for id_, person in group.person.items() if id_ == person}
        former, _ = await lock_customers(tx, live)
        now: datetime = await tx.fetchval("SELECT greatest(now(), $1::timestamptz)", former.classified_at)
        former, _ = await bring_up(connection, former, rules, now)
        await delete_interactions(tx, group.erased, self.vault)
        persons = persons_of(group)
        persons = persons.with_ids(await new_customer_ids(tx, len(persons.fresh)))
        present = set(persons.owner.values())
        changed = touched(group, persons) | await hold_identifiers(tx, live, group, persons)
        await store_under(tx, stored_under(group, persons), rules.rulebook.fold_version)
        await add_customers(tx, sorted(present - group.person.keys()), rules.in_force.named, now)
        await set_persons(tx, {id_: into for id_ in group.person if (into := persons.into(id_)) is not None})
        source_ids = await store.source_ids(tx, {BY_HAND})
        doing = _Doing(rules, now, Cause(self.ruling.ruling, self.ruling.id, source_ids[BY_HAND], quiet=False))
        sequences = await _tell(tx, former, _Telling(group, persons, live, present, erased), doing)
        await self._fold_again(tx, sorted(changed & present), live - erased, former, sequences, doing)
        gone = sorted(id_ for id_ in group.person if persons.into(id_) is None)
        await remove_customers(tx, gone)
        await note_erased(tx, gone)

    async def _fold_again(
        self,
        tx: asyncpg.Connection,
        ids: list[int],
        known: set[int],
        former: Customers,
        sequences: dict[int, int],
        doing: "_Doing",
    ) -> None:
        """`known`: whose classification stands for what subscribers know of them."""
        rulebook = doing.rules.rulebook
        again = await refold(tx, ids, rulebook, self.vault)
        if again.unreadable:
            log.error("interactions_not_folded", customers=len(again.unreadable), reason="they are unreadable")
        await tx.executemany(
            "UPDATE customers SET first_seen = $2, last_seen = $3 WHERE id = $1",
            list(zip(ids, again.first_seen, again.last_seen, strict=True)),
        )
        results = dict(zip(former.ids, former.results, strict=True))
        before = replace(former, results=[results[id_] if id_ in known else b"" for id_ in ids])
        everyone = np.ones(len(ids), np.bool_)
        standing = Standing(
            ids,
            [sequences[id_] for id_ in ids],
            again.ledgers,
            [attributes.pack(one) for one in again.attributes],
            Translated(results_of(before, rulebook), names_of(rulebook), []),
            known=np.array([id_ in known for id_ in ids], np.bool_),
            refolded=everyone,
            moved=~everyone,
        )
        in_force, now = doing.rules.in_force, doing.now
        await reclassify(tx, standing, in_force, now, cause_of=lambda _: doing.cause, at=now)


@dataclass(frozen=True, slots=True)
class _Doing:
    """By what rules, when and why."""

    rules: Rules
    now: datetime
    cause: Cause


@dataclass(frozen=True, slots=True)
class _Telling:
    """`live`, `present`: the customers before and after."""

    group: Group
    persons: Persons
    live: set[int]
    present: set[int]
    erased: set[int]

    def found(self, ids: Sequence[int]) -> Iterable[Found]:
        """Who was erased; who is a part of another one from now on; who is a customer of their own again."""
        place = {id_: index for index, id_ in enumerate(ids)}
        for id_ in sorted(self.erased):
            yield Found(place[id_], ERASE, None, None, None, None, b"")
        for id_ in sorted(self.live - self.present):
            if (into := self.persons.into(id_)) is not None:
                yield Found(place[into], MERGE, None, None, None, id_, b"")
        for id_, person in sorted(self._parted()):
            yield Found(place[person], SPLIT, None, None, None, id_, b"")

    def _parted(self) -> set[tuple[int, int]]:
        """Each customer who was none, with the one whose interactions they have."""
        return {
            (owner, person)
            for one in self.group.stored
            if (owner := self.persons.of(one.tie[0])) not in self.live
            and (person := self.group.person[one.customer_id]) in self.present
        }


async def _tell(tx: asyncpg.Connection, former: Customers, told: _Telling, doing: _Doing) -> dict[int, int]:
    """Record who was erased, merged and split. Returns the last sequence of each customer."""
    ids = sorted(told.group.person.keys() | told.present)
    held = await tx.fetch("SELECT id, sequence FROM customers WHERE id = ANY($1::bigint[])", ids)
    sequences = dict(held) | dict(zip(former.ids, former.sequences, strict=True))
    rows = change_rows(
        told.found(ids),
        ids,
        [sequences[id_] for id_ in ids],
        lambda _: doing.cause,
        at=doing.now,
        named=doing.rules.in_force.named,
    )
    await store.copy(tx, "changes", store.CHANGE_COLUMNS, rows)
    await tx.execute("SELECT pg_notify($1, '')", CHANNEL)
    return sequences | {row[0]: row[1] for row in rows}
