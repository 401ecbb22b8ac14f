"""Reclassifying locked customers for another reason than an interaction: time passed, or there is a new rulebook, or
new cuts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg
import numpy as np

from tierwise.db.outbox import CHANNEL
from tierwise.db.rulebooks import InForce
from tierwise.domain import attributes, packed_ledger
from tierwise.domain.calendar import date_of
from tierwise.domain.change import Bools, Results, differences
from tierwise.domain.classify import OVERRIDES, Classifications, attribute_columns, classify
from tierwise.domain.override import next_expiry
from tierwise.domain.review import next_review
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.translate import Translated
from tierwise_scoring import store
from tierwise_scoring.changes import Cause, change_rows, found_of
from tierwise_scoring.facets import facets_moved, facets_of, write_facets
from tierwise_scoring.measures import measures_of
from tierwise_scoring.reviews import Due, due_at, write_reviews
from tierwise_scoring.segments import follow_segments


@dataclass(frozen=True, slots=True)
class Standing:
    """Locked customers: what they hold, packed, and what they were classified as. `known`: of whom that can be read.
    `refolded`: whose ledger and attributes are not the stored ones; `moved`: who names another rulebook or other
    cuts."""

    ids: list[int]
    sequences: list[int]
    ledgers: list[bytes]
    attributes: list[bytes]
    before: Translated
    known: Bools
    refolded: Bools
    moved: Bools


@dataclass(frozen=True, slots=True)
class Reclassified:
    """By customer. `written`: of whom anything is stored anew; `changes`: how many there were in all."""

    result: Results
    sequences: list[int]
    written: Bools
    changes: int


async def reclassify(
    tx: asyncpg.Connection,
    standing: Standing,
    in_force: InForce,
    now: datetime,
    *,
    cause_of: Callable[[int], Cause],
    at: datetime,
) -> Reclassified:
    """Classify at `now`, and store what is not as it was, with changes that take effect `at`. `cause_of`: by index."""
    rulebook, before = in_force.rulebook, standing.before
    after, due = _classified(standing, now, rulebook)
    differ = [*differences(before.result, standing.known, after, rulebook, before.names), *before.gone]
    changes = change_rows(
        found_of(differ, of=np.ones(len(standing.ids), np.bool_)),
        standing.ids,
        standing.sequences,
        cause_of,
        at=at,
        named=in_force.named,
    )
    last = {row[0]: row[1] for row in changes}
    sequences = [last.get(id_, was) for id_, was in zip(standing.ids, standing.sequences, strict=True)]
    written = standing.moved | standing.refolded | ~standing.known | (before.result != after.result)
    done = Reclassified(after.result, sequences, written, len(changes))
    await _write(tx, standing, done, in_force, now)
    relisted = await _write_facets(tx, standing, done, in_force.rulebook, now)
    await write_reviews(tx, due)
    if changes:
        await store.copy(tx, "changes", store.CHANGE_COLUMNS, changes)
        await tx.execute("SELECT pg_notify($1, '')", CHANNEL)
    ids, was = [standing.ids[index] for index in relisted], [sequences[index] for index in relisted]
    moved = await follow_segments(
        tx, ids, was, lambda place: cause_of(relisted[place]), rulebook, named=in_force.named, at=at
    )
    last |= moved
    return replace(
        done,
        sequences=[last.get(id_, held) for id_, held in zip(standing.ids, sequences, strict=True)],
        changes=len(changes) + sum(moved[id_] - held for id_, held in zip(ids, was, strict=True) if id_ in moved),
    )


def _classified(standing: Standing, now: datetime, rulebook: Rulebook) -> tuple[Classifications, Due]:
    """And when time alone can next change it."""
    ledgers = packed_ledger.unpack(standing.ledgers)
    held = [attributes.unpack(one) for one in standing.attributes]
    columns = attribute_columns(held, rulebook)
    after = classify(ledgers, columns, now, rulebook)
    day = next_review(ledgers, columns, after.result, rulebook.days.day_of(now), rulebook)
    expiries = [next_expiry(given, now) for given in columns[OVERRIDES].tolist()]
    return after, due_at(standing.ids, day, expiries, rulebook)


async def _write_facets(
    tx: asyncpg.Connection, standing: Standing, done: Reclassified, rulebook: Rulebook, now: datetime
) -> list[int]:
    """Returns the indexes of those whose facets were written."""
    before, today = standing.before, rulebook.days.day_of(now)
    relisted = facets_moved(before.result, done.result) | ~standing.known | standing.refolded
    for change in before.gone:
        relisted[change.customer] = True
    written = np.flatnonzero(done.written | relisted)
    if not len(written):
        return []
    chosen: list[int] = written.tolist()
    held = [attributes.unpack(standing.attributes[index]) for index in chosen]
    places = np.flatnonzero(relisted[written]).tolist()
    facets = facets_of(done.result[written[places]], [held[place] for place in places], rulebook, today)
    ledgers = packed_ledger.unpack([standing.ledgers[index] for index in chosen])
    measures = measures_of(ledgers, done.result[written], held, rulebook, today)
    await write_facets(tx, [standing.ids[index] for index in chosen], dict(zip(places, facets, strict=True)), measures)
    return chosen


async def _write(
    tx: asyncpg.Connection, standing: Standing, done: Reclassified, in_force: InForce, now: datetime
) -> None:
    chosen = np.flatnonzero(done.written)
    if not len(chosen):
        return
    listed = chosen.tolist()
    again = standing.refolded[chosen].tolist() if standing.refolded.any() else []  # unnest fills up with nulls
    stage_moved = ~standing.known | (standing.before.result["stage"] != done.result["stage"])
    await tx.execute(
        _UPDATE,
        [standing.ids[index] for index in listed],
        done.result[chosen].tobytes(),
        done.result.dtype.itemsize,
        [done.sequences[index] for index in listed],
        stage_moved[chosen].tolist(),
        [standing.ledgers[index] if new else None for index, new in zip(listed, again, strict=False)],
        [standing.attributes[index] if new else None for index, new in zip(listed, again, strict=False)],
        now,
        date_of(in_force.rulebook.days.day_of(now)),
        *in_force.named,
    )


_UPDATE = """
    UPDATE customers AS held
    SET ledger = coalesce(new.ledger, held.ledger), attributes = coalesce(new.attributes, held.attributes),
        result = substring($2::bytea FROM (new.number::int - 1) * $3::int + 1 FOR $3::int),
        rulebook_id = $10, cuts = $11::int, sequence = new.sequence, version = held.version + 1, classified_at = $8,
        stage_since = CASE WHEN new.stage_moved THEN $9::date ELSE held.stage_since END
    FROM unnest($1::bigint[], $4::int[], $5::bool[], $6::bytea[], $7::bytea[]) WITH ORDINALITY
         AS new (id, sequence, stage_moved, ledger, attributes, number)
    WHERE held.id = new.id"""
