"""Customers as scoring leaves them in the database, made with the domain's own functions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db import tables
from tierwise.db.bodies import pack_body
from tierwise.db.engine import driver_connection
from tierwise.db.months import add_months, day_of
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.change import differences
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.interaction import Interaction
from tierwise.domain.learn import learned
from tierwise.domain.match import match
from tierwise.domain.rulebook.load import default_text, load
from tierwise.security.personal import Vault
from tierwise.security.values import Sealer
from tierwise_scoring.activity import sale_of
from tierwise_scoring.facets import facets_of, write_facets
from tierwise_scoring.measures import measures_of

RULEBOOK = load(default_text())
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def happened(channel: str, type_: str, time: str, /, **fields: Any) -> Interaction:
    """An interaction of the source `shop`; `time` is RFC 3339."""
    moment = datetime.fromisoformat(time)
    values: dict[str, Any] = {"identifiers": {}, "id": f"{channel}-{type_}-{time}", "source": "shop"} | fields
    return Interaction(channel=channel, type=type_, time=moment, received=moment, **values)


async def store_customer(
    connection: AsyncConnection,
    vault: Vault,
    number: int,
    interactions: Sequence[Interaction],
    *,
    merged_into: int | None = None,
    version: int = 1,
) -> None:
    """The customer with this number, what they did, and what they were classified as at NOW."""
    held: attributes.Attributes = {}
    for _, entries in learned(interactions, RULEBOOK, Sealer(vault)):
        attributes.merge(held, entries)
    rows = ledger.merge(match(interactions, RULEBOOK), np.zeros(len(interactions), np.int64)).only(np.array([0]))
    after = classify(rows, attribute_columns([held], RULEBOOK), NOW, RULEBOOK)
    rulebook_id = (await connection.execute(select(func.max(tables.rulebooks.c.id)))).scalar_one()
    changes = _changes(number, after, interactions[-1], rulebook_id)
    await connection.execute(
        insert(tables.customers).values(
            id=number,
            merged_into=merged_into,
            ledger=packed_ledger.pack(rows, RULEBOOK.fold_version)[0],
            attributes=attributes.pack(held),
            result=after.result[0].tobytes(),
            rulebook_id=rulebook_id,
            first_seen=min(one.time for one in interactions),
            last_seen=max(one.time for one in interactions),
            stage_since=NOW.date(),
            classified_at=NOW,
            sequence=len(changes),
            version=version,
        )
    )
    if merged_into is None:
        today = RULEBOOK.days.day_of(NOW)
        [facets] = facets_of(after.result, [held], RULEBOOK, today)
        measures = measures_of(rows, after.result, [held], RULEBOOK, today)
        await write_facets(await driver_connection(connection), [number], {0: facets}, measures)
    source_id = await _source(connection)
    await connection.execute(insert(tables.changes), [{"source_id": source_id, **change} for change in changes])
    await _store_identifiers(connection, vault, merged_into or number, interactions)
    await add_months(await driver_connection(connection), {day_of(one.time) for one in interactions})
    await connection.execute(
        insert(tables.interactions), [_interaction(number, one, source_id, vault) for one in interactions]
    )


def _changes(number: int, after: Classifications, last: Interaction, rulebook_id: int) -> list[dict[str, Any]]:
    before, known = np.zeros(1, RULEBOOK.result), np.zeros(1, np.bool_)
    return [
        {
            "customer_id": number,
            "sequence": sequence,
            "shard": 0,
            "aspect": change.aspect,
            "from": change.old[0],
            "to": change.new[0],
            "score": change.score[0],
            "at": NOW,
            "rulebook_id": rulebook_id,
            "cause": "interaction",
            "interaction": last.id,
            "reasons": change.reasons[0],
            "quiet": False,
        }
        for sequence, change in enumerate(differences(before, known, after, RULEBOOK), start=1)
    ]


async def _source(connection: AsyncConnection) -> int:
    await connection.execute(insert(tables.sources).values(name="shop", trust={}).on_conflict_do_nothing())
    found = await connection.execute(select(tables.sources.c.id).where(tables.sources.c.name == "shop"))
    return int(found.scalar_one())


async def _store_identifiers(
    connection: AsyncConnection, vault: Vault, number: int, interactions: Sequence[Interaction]
) -> None:
    pairs = {pair for one in interactions for pair in one.identifiers.items()}
    rows = [
        {
            "hash": vault.identifier_hash(kind, value),
            "customer_id": number,
            "kind": kind,
            "ciphertext": vault.seal(value.encode(), context=kind.encode()),
        }
        for kind, value in sorted(pairs)
    ]
    if rows:
        await connection.execute(insert(tables.identifiers).on_conflict_do_nothing(), rows)


def _interaction(number: int, one: Interaction, source_id: int, vault: Vault) -> dict[str, Any]:
    return {
        "customer_id": number,
        "time": one.time,
        "key": one.key,
        "source_id": source_id,
        "id": one.id,
        "channel": one.channel,
        "type": one.type,
        "received": one.received,
        "identifiers": [vault.identifier_hash(*pair) for pair in one.identifiers.items()],
        "body": pack_body(one.attributes, one.properties, vault, updates=one.updates, scored=one.scored),
        **sale_of(one)._asdict(),
    }
