"""What is read, as SQL for asyncpg: one round trip for a current view or a page of anything.

uuid columns come as 16 bytes (`tierwise.db.engine`). A merged customer's row names its final winner; interactions
and changes stay under the id that they were written with, so the person's are those of the winner and of all losers.
"""

from typing import Final

_VIEW: Final = """
    c.id, c.merged_into, c.ledger, c.attributes, c.result, c.rulebook_id, c.cuts, c.first_seen, c.last_seen,
    c.stage_since, c.classified_at, c.sequence, c.version, i.kinds, i.ciphertexts
"""

_IDENTIFIERS: Final = """
    CROSS JOIN LATERAL (
        SELECT array_agg(kind) AS kinds, array_agg(ciphertext) AS ciphertexts
        FROM identifiers WHERE customer_id = c.id
    ) i
"""

# $1 customer. The winner's row where the customer was merged.
CUSTOMER: Final = f"""
SELECT {_VIEW}
FROM customers asked
JOIN customers c ON c.id = coalesce(asked.merged_into, asked.id)
{_IDENTIFIERS}
WHERE asked.id = $1
"""

# $1 hash of kind and value.
CUSTOMER_BY_IDENTIFIER: Final = f"""
SELECT {_VIEW}
FROM identifiers held
JOIN customers asked ON asked.id = held.customer_id
JOIN customers c ON c.id = coalesce(asked.merged_into, asked.id)
{_IDENTIFIERS}
WHERE held.hash = $1
"""

# $1 after this id, $2 how many. Every customer, by id.
CUSTOMERS: Final = f"""
SELECT {_VIEW}
FROM (
    SELECT * FROM customers WHERE merged_into IS NULL AND id > $1 ORDER BY id LIMIT $2
) c
{_IDENTIFIERS}
ORDER BY c.id
"""


def customers_filtered(conditions: str) -> str:
    """$1 after this id, $2 how many, from $3 on what the conditions (on `customer_facets` as f) compare with."""
    return f"""
SELECT {_VIEW}
FROM (
    SELECT c.* FROM customer_facets f JOIN customers c ON c.id = f.customer_id
    WHERE c.merged_into IS NULL AND f.customer_id > $1 AND {conditions}
    ORDER BY f.customer_id LIMIT $2
) c
{_IDENTIFIERS}
ORDER BY c.id
"""


_PERSON: Final = """
WITH winner AS (SELECT coalesce(merged_into, id) AS id FROM customers WHERE id = $1),
held AS (SELECT id FROM winner UNION ALL SELECT c.id FROM customers c JOIN winner w ON c.merged_into = w.id)
"""

# $1 customer, $2 how many, $3 and $4 before this (time, key), $5 from this time on, $6 channels, $7 types (either
# may be null: any). Bounds are always given, so that they are index conditions in every plan.
# No row: no such customer. One row whose key is null: nothing happened.
# LATERAL by id, so that each reads the end of its own index range only.
TIMELINE: Final = f"""
{_PERSON}
SELECT t.* FROM winner LEFT JOIN (
    SELECT own.*, s.name AS source
    FROM held CROSS JOIN LATERAL (
        SELECT time, key, source_id, id AS interaction, channel, type, received, identifiers, body
        FROM interactions
        WHERE customer_id = held.id
          AND (time, key) < ($3::timestamptz, $4::uuid) AND time >= $5::timestamptz
          AND ($6::text[] IS NULL OR channel = ANY ($6))
          AND ($7::text[] IS NULL OR type = ANY ($7))
        ORDER BY time DESC, key DESC LIMIT $2
    ) own
    JOIN sources s ON s.id = own.source_id
    ORDER BY own.time DESC, own.key DESC LIMIT $2
) t ON true
ORDER BY t.time DESC, t.key DESC
"""

# $1 hashes.
IDENTIFIERS: Final = "SELECT hash, kind, ciphertext FROM identifiers WHERE hash = ANY ($1::uuid[])"

# $1 customer, $2 how many, $3 before this row's id. No row: no such customer. One row whose id is
# null: nothing changed. Rows' ids rise with a customer's sequence, since the customer is locked when they are made.
CHANGES: Final = f"""
{_PERSON}
SELECT t.* FROM winner LEFT JOIN (
    SELECT own.*, s.name AS source
    FROM held CROSS JOIN LATERAL (
        SELECT * FROM changes
        WHERE customer_id = held.id AND id < $3
        ORDER BY sequence DESC LIMIT $2
    ) own
    LEFT JOIN sources s ON s.id = own.source_id
    ORDER BY own.id DESC LIMIT $2
) t ON true
ORDER BY t.id DESC
"""
