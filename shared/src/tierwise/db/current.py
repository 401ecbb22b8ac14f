"""Customers as they stand, as SQL for asyncpg: the columns of the current view, with what they are known by."""

from typing import Final

VIEW: Final = """
    c.id, c.merged_into, c.ledger, c.attributes, c.result, c.rulebook_id, c.cuts, c.first_seen, c.last_seen,
    c.stage_since, c.classified_at, c.sequence, c.version, i.kinds, i.ciphertexts
"""

KNOWN_BY: Final = """
    CROSS JOIN LATERAL (
        SELECT array_agg(kind) AS kinds, array_agg(ciphertext) AS ciphertexts
        FROM identifiers WHERE customer_id = c.id
    ) i
"""

# $1 customer. The winner's row where the customer was merged.
CUSTOMER: Final = f"""
SELECT {VIEW}
FROM customers asked
JOIN customers c ON c.id = coalesce(asked.merged_into, asked.id)
{KNOWN_BY}
WHERE asked.id = $1
"""
