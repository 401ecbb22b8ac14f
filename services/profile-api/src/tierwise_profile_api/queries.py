"""What is read, as SQL for asyncpg: one round trip for a current view or a page of anything.

uuid columns come as 16 bytes (`tierwise.db.engine`). A merged customer's row names its final winner; interactions
and changes stay under the id that they were written with, so the person's are those of the winner and of all losers.
"""

from typing import Final

from tierwise.db.current import CUSTOMER as CUSTOMER
from tierwise.db.current import KNOWN_BY, VIEW
from tierwise.folding.checkpoints import COLUMNS as CHECKPOINT_COLUMNS

# $1 hash of kind and value.
CUSTOMER_BY_IDENTIFIER: Final = f"""
SELECT {VIEW}
FROM identifiers held
JOIN customers asked ON asked.id = held.customer_id
JOIN customers c ON c.id = coalesce(asked.merged_into, asked.id)
{KNOWN_BY}
WHERE held.hash = $1
"""

# $1 after this id, $2 how many. Every customer, by id.
CUSTOMERS: Final = f"""
SELECT {VIEW}
FROM (
    SELECT * FROM customers WHERE merged_into IS NULL AND id > $1 ORDER BY id LIMIT $2
) c
{KNOWN_BY}
ORDER BY c.id
"""


def customers_chosen(chosen: str, order: str) -> str:
    """`chosen`: a statement with the columns `id` and `place`; `order`: of its rows (as c has ids)."""
    return f"""
SELECT {VIEW}, chosen.place
FROM ({chosen}) chosen
JOIN customers c ON c.id = chosen.id
{KNOWN_BY}
ORDER BY {order}
"""


_PERSON: Final = """
WITH winner AS (SELECT coalesce(merged_into, id) AS id FROM customers WHERE id = $1),
held AS (SELECT id FROM winner UNION ALL SELECT c.id FROM customers c JOIN winner w ON c.merged_into = w.id)
"""

# $1 customer, $2 how many, $3 and $4 before this (time, key), $5 from this time on, $6 channels, $7 types (either
# may be null: any). Bounds are always given, so that they are index conditions in every plan.
# No row: no such customer. One row whose key is null: nothing happened. `retained_since`: of what happened before, only
# the sums are stored; null: everything is.
# LATERAL by id, so that each reads the end of its own index range only.
TIMELINE: Final = f"""
{_PERSON}
SELECT t.*, (SELECT max(before) FROM checkpoints JOIN held ON held.id = customer_id) AS retained_since
FROM winner LEFT JOIN (
    SELECT own.*, s.name AS source
    FROM held CROSS JOIN LATERAL (
        SELECT time, key, source_id, id AS interaction, channel, type, received, identifiers, body
        FROM interactions
        WHERE customer_id = held.id
          AND (time, key) < ($3::timestamptz, $4::uuid) AND time <= $3::timestamptz AND time >= $5::timestamptz
          AND ($6::text[] IS NULL OR channel = ANY ($6))
          AND ($7::text[] IS NULL OR type = ANY ($7))
        ORDER BY time DESC, key DESC LIMIT $2
    ) own
    JOIN sources s ON s.id = own.source_id
    ORDER BY own.time DESC, own.key DESC LIMIT $2
) t ON true
ORDER BY t.time DESC, t.key DESC
"""

# $1 customer, $2 up to this time, $3 how many. By time. No row: no such customer. One row whose key is null: nothing
# happened by then.
# `summed`: how many interactions there were before, in checkpoints.
PAST: Final = f"""
{_PERSON}
SELECT winner.id AS winner, t.*,
       (SELECT coalesce(sum(interactions), 0)::bigint FROM checkpoints JOIN held ON held.id = customer_id) AS summed
FROM winner LEFT JOIN (
    SELECT own.*, s.name AS source
    FROM held CROSS JOIN LATERAL (
        SELECT time, key, source_id, id, channel, type, received, identifiers, body
        FROM interactions
        WHERE customer_id = held.id AND time <= $2::timestamptz
        ORDER BY time, key LIMIT $3
    ) own
    JOIN sources s ON s.id = own.source_id
    LIMIT $3
) t ON true
ORDER BY t.time, t.key
"""

# $1 customer. Their checkpoints, and those of who was merged into them.
CHECKPOINTS: Final = f"""
{_PERSON}
SELECT {", ".join(CHECKPOINT_COLUMNS)} FROM checkpoints JOIN held ON held.id = customer_id
"""

# $1 hashes of identifiers. Until when what those who have them did is stored as sums; null where it is not.
KEPT_WHOLE: Final = """
SELECT max(k.before) FROM identifiers i
JOIN customers c ON c.id = i.customer_id OR c.merged_into = i.customer_id JOIN checkpoints k ON k.customer_id = c.id
WHERE i.hash = ANY ($1::uuid[])
"""

# In the order in which they came in force.
RULEBOOKS_CAME: Final = "SELECT id, id, published_at FROM rulebooks ORDER BY id"
CUTS_CAME: Final = "SELECT id, rulebook_id, taken_at FROM cuts ORDER BY id"

# $1 customer, $2 sequence.
CHANGE: Final = """
SELECT c.*, s.name AS source FROM changes c LEFT JOIN sources s ON s.id = c.source_id
WHERE c.customer_id = $1 AND c.sequence = $2
"""

# $1 numbers of questions, $2 their customers, $3 and $4 the same of hashes of kind and value. A row for each that is
# known.
CUSTOMERS_ASKED: Final = f"""
SELECT {VIEW}, question.number
FROM (
    SELECT * FROM unnest($1::int[], $2::bigint[]) AS by_id (number, id)
    UNION ALL
    SELECT by_hash.number, held.customer_id
    FROM unnest($3::int[], $4::uuid[]) AS by_hash (number, hash) JOIN identifiers held ON held.hash = by_hash.hash
) question
JOIN customers asked ON asked.id = question.id
JOIN customers c ON c.id = coalesce(asked.merged_into, asked.id)
{KNOWN_BY}
"""

# $1 hashes, $2 customer: those of these that are theirs.
IDENTIFIERS_OF: Final = """
SELECT hash, kind, ciphertext FROM identifiers WHERE hash = ANY ($1::uuid[]) AND customer_id = $2
"""

# $1 hashes. Also those that an interaction names and that by a ruling are not its customer's.
IDENTIFIERS: Final = """
SELECT hash, kind, ciphertext FROM identifiers WHERE hash = ANY ($1::uuid[])
UNION ALL
SELECT hash, kind, ciphertext FROM mentions WHERE hash = ANY ($1::uuid[])
"""

# $1 customer.
ERASED: Final = "SELECT erased_at FROM erased_customers WHERE customer_id = $1"

# $1 customer. What they have, and whether it is the last word that it is blocked.
HELD: Final = """
SELECT held.hash, coalesce(last.ruling = 'block', false) AS blocked
FROM identifiers held LEFT JOIN LATERAL (
    SELECT ruling FROM ruled_identifiers
    WHERE hash = held.hash AND ruling IN ('block', 'unblock') ORDER BY at DESC, key DESC LIMIT 1
) last ON true
WHERE held.customer_id = $1
ORDER BY held.hash
"""

# $1 customer, $2 one that was merged into it: what the interactions of that one, and of those whom it had taken in,
# name. No row: it was not merged into it.
NAMED_BY_PART: Final = """
WITH RECURSIVE part AS (
    SELECT id FROM customers WHERE id = $2 AND merged_into = $1
    UNION
    SELECT c.id FROM part JOIN changes m ON m.customer_id = part.id AND m.aspect = 'merge'
    JOIN customers c ON c.id = m.merged AND c.merged_into = $1
)
SELECT unnest(i.identifiers) FROM part JOIN interactions i ON i.customer_id = part.id
UNION SELECT unnest(k.identifiers) FROM part JOIN checkpoints k ON k.customer_id = part.id
"""

# $1 before this number, $2 how many, $3 customer, $4 ruling (either may be null: any).
# $1 key, $2 kind.
RULED: Final = """
SELECT id, customer_id, ARRAY (SELECT hash FROM ruled_identifiers AS held WHERE held.key = rulings.key) AS identifiers
FROM rulings WHERE key = $1::uuid AND ruling = $2
"""

RULINGS: Final = """
SELECT number, id, ruling, author, at, reason, customer_id, kind, ciphertext FROM rulings
WHERE number < $1 AND ($3::bigint IS NULL OR customer_id = $3) AND ($4::text IS NULL OR ruling = $4)
ORDER BY number DESC LIMIT $2
"""

# $1 customer, $2 how many, $3 before this row's id, $4 patterns of aspects, $5 from this time on, $6 before this time
# (null: any). No row: no such customer. One row whose id is
# null: nothing changed. Rows' ids rise with a customer's sequence, since the customer is locked when they are made.
CHANGES: Final = f"""
{_PERSON}
SELECT t.* FROM winner LEFT JOIN (
    SELECT own.*, s.name AS source
    FROM held CROSS JOIN LATERAL (
        SELECT * FROM changes
        WHERE customer_id = held.id AND id < $3
          AND ($4::text[] IS NULL OR aspect LIKE ANY ($4))
          AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
        ORDER BY sequence DESC LIMIT $2
    ) own
    LEFT JOIN sources s ON s.id = own.source_id
    ORDER BY own.id DESC LIMIT $2
) t ON true
ORDER BY t.id DESC
"""

# $1 before this row's id, $2 how many, $3 customer, $4 reader, $5 from this time on, $6 before this time (null: any).
AUDIT: Final = """
SELECT id, at, reader, name, customer_id, what FROM audit
WHERE id < $1 AND ($3::bigint IS NULL OR customer_id = $3) AND ($4::text IS NULL OR reader = $4)
  AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
ORDER BY id DESC LIMIT $2
"""
