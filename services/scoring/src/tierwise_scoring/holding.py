"""What persons hold, written as it was decided anew: identifiers, interactions under their ids, mentions."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import asyncpg

from tierwise.folding.checkpoints import move_checkpoints
from tierwise_scoring.identifiers import NewIdentifier, add_identifiers
from tierwise_scoring.persons import Group, Persons, Stored
from tierwise_scoring.rulings import Mention, add_mentions


class _Known(NamedTuple):
    kind: str
    ciphertext: bytes


async def hold_identifiers(tx: asyncpg.Connection, live: Collection[int], group: Group, persons: Persons) -> set[int]:
    """Each identifier goes to whom the ties give it; what nothing ties any more is nobody's, and mentioned. `live`: who
    holds them until now. Returns the customers who have gained or lost one."""
    rows = await tx.fetch(
        "SELECT hash, customer_id, kind, ciphertext FROM identifiers WHERE customer_id = ANY($1::bigint[])", list(live)
    )
    holder = {row["hash"]: row["customer_id"] for row in rows}
    known = {row["hash"]: _Known(row["kind"], row["ciphertext"]) for row in rows}
    named = {hash_ for one in group.stored for hash_ in (*one.tie, *one.left_out)}
    for row in await tx.fetch(
        "SELECT hash, kind, ciphertext FROM mentions WHERE hash = ANY($1::uuid[])", list(named - holder.keys())
    ):
        known[row["hash"]] = _Known(row["kind"], row["ciphertext"])
    wanted = {hash_: persons.of(hash_) for hash_ in persons.component if hash_ in known}
    moved = [hash_ for hash_, customer in wanted.items() if holder.get(hash_) != customer]
    left = [hash_ for hash_ in holder if hash_ not in wanted]
    await tx.execute("DELETE FROM identifiers WHERE hash = ANY($1::uuid[])", [*moved, *left])
    await add_identifiers(tx, [NewIdentifier(hash_, wanted[hash_], *known[hash_]) for hash_ in sorted(moved)])
    await _mention(tx, group, persons, known)
    return {holder[hash_] for hash_ in [*moved, *left] if hash_ in holder} | {wanted[hash_] for hash_ in moved}


async def _mention(tx: asyncpg.Connection, group: Group, persons: Persons, known: dict[bytes, _Known]) -> None:
    """Under the ids by which the interactions are stored from now on."""
    await tx.execute(
        "DELETE FROM mentions WHERE hash = ANY($1::uuid[]) AND customer_id = ANY($2::bigint[])",
        list(known),
        list(group.person),
    )
    mentioned = {(hash_, persons.of(one.tie[0])) for one in group.stored for hash_ in one.left_out if hash_ in known}
    await add_mentions(tx, [Mention(*pair, *known[pair[0]]) for pair in sorted(mentioned)])


async def store_under(tx: asyncpg.Connection, moving: Sequence[tuple[Stored, int]], fold_version: int) -> None:
    """Interactions and checkpoints go to the ids beside them. `fold_version`: of the rulebook in force."""
    summed = {one.customer_id: owner for one, owner in moving if one.is_checkpoint}
    await move_checkpoints(tx, summed, fold_version)
    if moved := [(one, owner) for one, owner in moving if not one.is_checkpoint]:
        await tx.execute(
            """UPDATE interactions AS held SET customer_id = new.owner
               FROM unnest($1::bigint[], $2::timestamptz[], $3::uuid[], $4::bigint[]) AS new (id, time, key, owner)
               WHERE (held.customer_id, held.time, held.key) = (new.id, new.time, new.key)""",
            [one.customer_id for one, _ in moved],
            [one.time for one, _ in moved],
            [one.key for one, _ in moved],
            [owner for _, owner in moved],
        )
