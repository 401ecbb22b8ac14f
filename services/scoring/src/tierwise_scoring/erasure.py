"""Erasing: what is stored of a person goes. Hashes and keys stay, so that nothing of it comes back."""

from collections.abc import Sequence

import asyncpg

from tierwise.domain.change import ERASE
from tierwise.folding.checkpoints import delete_checkpoints
from tierwise.security.personal import Vault
from tierwise_scoring.activity import TAKEN, take_activity
from tierwise_scoring.persons import Stored


async def holders_of(tx: asyncpg.Connection, hashes: Sequence[bytes]) -> set[int]:
    """The customers who have these identifiers."""
    rows = await tx.fetch("SELECT DISTINCT customer_id FROM identifiers WHERE hash = ANY($1::uuid[])", hashes)
    return {row[0] for row in rows}


async def delete_interactions(tx: asyncpg.Connection, erased: Sequence[Stored], vault: Vault) -> None:
    """And the changes that they caused name them no more. Checkpoints go whole: activity keeps counting what was in
    them, which names nobody."""
    await delete_checkpoints(tx, [one.customer_id for one in erased if one.is_checkpoint])
    erased = [one for one in erased if not one.is_checkpoint]
    if not erased:
        return
    rows = await tx.fetch(
        f"""DELETE FROM interactions
            WHERE (customer_id, time, key) IN (SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::uuid[]))
            RETURNING {TAKEN}, customer_id, source_id""",
        [one.customer_id for one in erased],
        [one.time for one in erased],
        [one.key for one in erased],
    )
    await take_activity(tx, rows, vault)
    await tx.execute(
        """UPDATE changes SET interaction = NULL
           WHERE customer_id IN (SELECT id FROM customers WHERE id = ANY($1::bigint[])
                                 UNION SELECT merged_into FROM customers WHERE id = ANY($1::bigint[]))
             AND (source_id, interaction) IN (SELECT * FROM unnest($2::int[], $3::text[]))""",
        list({row["customer_id"] for row in rows}),
        [row["source_id"] for row in rows],
        [row["id"] for row in rows],
    )


async def note_erased(tx: asyncpg.Connection, ids: Sequence[int]) -> None:
    """These ids are nobody's any more and never will be. What their changes say of the way they went is kept: without
    the reasons it is numbers, from which statistics are made."""
    await tx.execute("INSERT INTO erased_customers (customer_id) SELECT unnest($1::bigint[])", ids)
    await tx.execute(
        "UPDATE changes SET interaction = NULL, reasons = '' WHERE customer_id = ANY($1::bigint[]) AND aspect <> $2",
        ids,
        ERASE,
    )
