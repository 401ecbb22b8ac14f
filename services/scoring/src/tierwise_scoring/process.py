"""Processing a batch: from interactions to classified customers, in one transaction.

    taken back? -> duplicates -> rulings -> identity -> release -> fold -> classify
                -> positions -> customers, changes, timeline

All of it happens or nothing does: the positions move with the effects, so that after a crash at any point the batch
is read again and done once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.bodies import pack_body
from tierwise.db.engine import driver_connection
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.calendar import date_of
from tierwise.domain.classify import OVERRIDES, Classifications, attribute_columns, classify
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints
from tierwise.domain.override import is_override, next_expiry
from tierwise.domain.review import NEVER, next_review
from tierwise.domain.rulebook.evaluate import Column
from tierwise.folding.fold import Folded, fold
from tierwise_scoring import store
from tierwise_scoring.activity import Sale, add_activity, sale_of
from tierwise_scoring.batch import Batch
from tierwise_scoring.changes import Cause, ChangeRow, change_rows, found_in, merge_of
from tierwise_scoring.customers import Written, results_of, write_customers, write_merges
from tierwise_scoring.facets import facets_moved, facets_of
from tierwise_scoring.identity import Resolution, resolve
from tierwise_scoring.limit import crowded_among
from tierwise_scoring.measures import measures_of
from tierwise_scoring.positions import be_known
from tierwise_scoring.release import Rules, bring_up
from tierwise_scoring.reviews import Due, due_at, write_reviews
from tierwise_scoring.rulings import Tied, add_mentions, mentions_of, tied
from tierwise_scoring.segments import follow_segments
from tierwise_scoring.stages import Stages
from tierwise_scoring.turns import Turn


@dataclass(frozen=True, slots=True)
class Scoring:
    """What processing needs beside the batch. `source_ids`, `batch_ids`: by name, for every source and every import
    in the batch. `turn`: when this batch may write. `stages`: told when each has ended."""

    rules: Rules
    source_ids: dict[str, int]
    batch_ids: dict[str, int]
    turn: Turn
    stages: Stages = field(default_factory=Stages)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch came to, for logs and metrics. `retracted`: interactions whose import was taken back before they
    came; `erased`: those of whom was erased; `conflicting`: duplicates with another content than what stands, by
    source. `crowded`: customers who may be more people than an identifier may tie."""

    interactions: int
    duplicates: int
    dead_letters: int
    retracted: int
    conflicting: Counter[str]
    crowded: Sequence[int] = ()
    erased: int = 0
    customers: int = 0
    merges: int = 0
    changes: int = 0


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch's new interactions and the customers they touch. Customers are indexed as `resolution.customers` is:
    `owner` by interaction, `winner` and `before` by customer. `released`: changes that brought them to the rulebook
    in force."""

    scoring: Scoring
    tied: Tied
    resolution: Resolution
    owner: Ints
    winner: Ints
    before: npt.NDArray[np.void]
    now: datetime
    released: int

    @property
    def interactions(self) -> Sequence[Interaction]:
        return self.tied.interactions

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """Who is not merged away by this batch."""
        live: npt.NDArray[np.bool_] = self.winner == np.arange(len(self.winner))
        return live


async def process(connection: AsyncConnection, batch: Batch, scoring: Scoring) -> Outcome:
    """`connection`: inside a transaction that the caller commits. Raises PositionTaken, IdentityContended, TurnLost."""
    tx, rules, stages = await driver_connection(connection), scoring.rules, scoring.stages
    now = await be_known(tx, (move.partition for move in batch.moves))
    standing = await _not_retracted(tx, batch.interactions, scoring)
    fresh, conflicting = await store.claim_keys(tx, standing)
    stages.end("duplicates")
    outcome = Outcome(
        len(fresh),
        duplicates=len(standing) - len(fresh),
        dead_letters=len(batch.dead_letters),
        retracted=len(batch.interactions) - len(standing),
        conflicting=Counter(standing[index].source for index in conflicting),
    )
    batch_tied = await tied(tx, [standing[index] for index in fresh.values()], list(fresh), rules.vault)
    counted = len(batch_tied.interactions)
    outcome = replace(outcome, interactions=counted, erased=len(fresh) - counted)
    if not counted:
        await _move(tx, batch, scoring)
        return outcome

    work = await _work(connection, batch_tied, now, scoring)
    scoring.turn.locked()
    customers = work.resolution.customers
    held = (customers.ledgers, customers.attributes)
    folded = fold(work.interactions, work.owner, held, work.winner, rules.rulebook, rules.vault)
    compacted = ledger.compact(folded.ledgers, rules.rulebook.horizon_day(work.now))
    folded = replace(folded, ledgers=compacted)
    stages.end("fold")
    columns = attribute_columns(folded.attributes, rules.rulebook)
    after = classify(folded.ledgers, columns, work.now, rules.rulebook)
    changes = _changes(work, after)
    stages.end("classify")

    await _move(tx, batch, scoring)
    await write_merges(tx, work.resolution.merged)
    await write_customers(tx, _written(work, folded, after, changes))
    await write_reviews(tx, _due(work, folded, columns, after))
    await store.copy(tx, "changes", store.CHANGE_COLUMNS, changes)
    moved = await _follow_segments(tx, work, changes)
    sales = [sale_of(one) for one in work.interactions]
    await store.copy(tx, "interactions", store.INTERACTION_COLUMNS, _timeline(work, sales))
    await add_activity(tx, work.interactions, sales)
    await add_mentions(tx, mentions_of(work.tied, work.resolution.owner.tolist(), rules.vault))
    stages.end("store")
    return replace(
        outcome,
        customers=int(work.live.sum()),
        merges=len(work.resolution.merged),
        crowded=await crowded_among(tx, work.resolution.grown),
        changes=len(changes) + moved + work.released,
    )


async def _move(tx: asyncpg.Connection, batch: Batch, scoring: Scoring) -> None:
    """The positions, and with them what could not be used; before all else that is written."""
    await scoring.turn.come()
    scoring.stages.end("turn")
    await store.move_positions(tx, batch.moves)
    if batch.dead_letters:
        await store.add_dead_letters(tx, batch.dead_letters, scoring.rules.vault)
    scoring.stages.end("positions")


async def _follow_segments(tx: asyncpg.Connection, work: _Work, changes: Sequence[ChangeRow]) -> int:
    customers, rules = work.resolution.customers, work.scoring.rules
    last: dict[int, int] = {row[0]: row[1] for row in changes}
    sequences = [last.get(id_, was) for id_, was in zip(customers.ids, customers.sequences, strict=True)]
    named = rules.in_force.named
    moved = await follow_segments(
        tx, customers.ids, sequences, _cause_of(work), rules.rulebook, named=named, at=work.now
    )
    return sum(moved[id_] - was for id_, was in zip(customers.ids, sequences, strict=True) if id_ in moved)


async def _not_retracted(
    tx: asyncpg.Connection, interactions: Sequence[Interaction], scoring: Scoring
) -> Sequence[Interaction]:
    """Those whose import was not taken back after they were sent."""
    ids = scoring.batch_ids
    imported = {ids[one.batch] for one in interactions if one.batch is not None}
    before = await store.hold_batches(tx, imported) if imported else {}
    if not before:
        return interactions
    return [
        one
        for one in interactions
        if one.batch is None or ids[one.batch] not in before or one.received >= before[ids[one.batch]]
    ]


async def _work(connection: AsyncConnection, batch: Tied, now: datetime, scoring: Scoring) -> _Work:
    tx, rules = await driver_connection(connection), scoring.rules
    resolution = await resolve(tx, batch.interactions, batch.hashes, batch.ties, rules.vault)
    scoring.stages.end("identity")
    now = max(now, resolution.customers.classified_at or now)  # never before a customer's last one
    customers, released = await bring_up(connection, resolution.customers, rules, now)
    scoring.stages.end("release")
    index = {id_: position for position, id_ in enumerate(customers.ids)}
    winner = np.arange(len(index))
    for loser, into in resolution.merged:
        winner[index[loser]] = index[into]
    return _Work(
        scoring,
        batch,
        replace(resolution, customers=customers),
        np.array([index[id_] for id_ in resolution.owner.tolist()], np.int64),
        winner,
        results_of(customers, rules.rulebook),
        now,
        released,
    )


def _changes(work: _Work, after: Classifications) -> list[ChangeRow]:
    """Rows for `changes`, in the order of their sequence for each customer."""
    customers, scoring = work.resolution.customers, work.scoring
    merges = [merge_of(int(work.winner[index]), customers.ids[index]) for index in np.flatnonzero(~work.live).tolist()]
    moved = found_in(work.before, customers.born, after, scoring.rules.rulebook, of=work.live)
    return change_rows(
        [*merges, *moved],
        customers.ids,
        customers.sequences,
        _cause_of(work),
        at=work.now,
        named=scoring.rules.in_force.named,
    )


def _cause_of(work: _Work) -> Callable[[int], Cause]:
    """By the index of the customer."""
    customers, scoring = work.resolution.customers, work.scoring
    last = np.zeros(len(customers.ids), np.int64)
    last[work.owner] = np.arange(len(work.owner))  # the last interaction of each customer is the cause
    loud = np.zeros(len(customers.ids), np.bool_)
    loud[work.owner[[not one.quiet for one in work.interactions]]] = True

    def cause_of(index: int) -> Cause:
        one = work.interactions[last[index]]
        kind = "override" if is_override(one) else "interaction" if one.batch is None else "import"
        return Cause(kind, one.id, scoring.source_ids[one.source], not loud[index])

    return cause_of


def _written(work: _Work, folded: Folded, after: Classifications, changes: Sequence[ChangeRow]) -> Written:
    """What becomes of each customer that is not merged away."""
    customers, rulebook = work.resolution.customers, work.scoring.rules.rulebook
    before, result = work.before, after.result
    stage_moved = ~customers.born | (before["stage"] != result["stage"])
    moved = ~customers.born | facets_moved(before, result) | np.array(folded.attributes_moved, np.bool_)
    packed = packed_ledger.pack(folded.ledgers, rulebook.fold_version)
    last_sequence = {row[0]: row[1] for row in changes}
    live = np.flatnonzero(work.live)
    chosen = live.tolist()
    today = rulebook.days.day_of(work.now)
    held = [folded.attributes[index] for index in chosen]
    refaceted = np.flatnonzero(moved[live]).tolist()
    facets = facets_of(result[live[refaceted]], [held[place] for place in refaceted], rulebook, today)
    return Written(
        ids=[customers.ids[index] for index in chosen],
        born=customers.born[live],
        ledgers=[packed[index] for index in chosen],
        attributes=[
            attributes.pack(folded.attributes[index])
            if folded.attributes_moved[index] or not customers.born[index]
            else None
            for index in chosen
        ],
        results=result[live],
        sequences=[last_sequence.get(customers.ids[index], customers.sequences[index]) for index in chosen],
        first_seen=[folded.first_seen[index] for index in chosen],
        last_seen=[folded.last_seen[index] for index in chosen],
        stage_moved=stage_moved[live],
        facets=dict(zip(refaceted, facets, strict=True)),
        measures=measures_of(folded.ledgers.only(live), result[live], held, rulebook, today),
        now=work.now,
        today=date_of(today),
        named=work.scoring.rules.in_force.named,
    )


def _due(work: _Work, folded: Folded, columns: Mapping[str, Column], after: Classifications) -> Due:
    """When time alone can next change each customer; never, for those who are merged away."""
    rulebook = work.scoring.rules.rulebook
    day = next_review(folded.ledgers, columns, after.result, rulebook.days.day_of(work.now), rulebook)
    day[~work.live] = NEVER
    expiries = [next_expiry(given, work.now) for given in columns[OVERRIDES].tolist()]
    return due_at(work.resolution.customers.ids, day, expiries, rulebook)


def _timeline(work: _Work, sales: Sequence[Sale]) -> list[tuple[Any, ...]]:
    rows = zip(work.resolution.owner.tolist(), *work.tied[:3], sales, strict=True)
    source_ids, batch_ids = work.scoring.source_ids, work.scoring.batch_ids
    return [
        (owner, one.time, key, source_ids[one.source], 0 if one.batch is None else batch_ids[one.batch], one.id,
         one.channel, one.type, one.received, hashes,
         pack_body(one.attributes, one.properties, work.scoring.rules.vault, updates=one.updates, scored=one.scored),
         *sale, one.links)
        for owner, one, key, hashes, sale in rows
    ]  # fmt: skip
