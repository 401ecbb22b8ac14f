"""Whether a change is one of a member of segments, when it was made.

The history says it, since who comes and goes is a change too (`tierwise_scoring.segments`): a change counts for a
segment when its customer is in it before the change's transaction or after it, so also for who comes or leaves by it.
Merges and splits count for either of the two.
"""

from typing import Final

# `held` is the change, $6 the names of the segments. Coming and going in the same transaction settles it; else the next
# time after it says how it was until then, and without one, how it is now. Who is no customer any more, as after a
# merge or an erasure, left without a word: of them the last time before it says how it was.
IN_SEGMENTS: Final = """EXISTS (
    SELECT FROM segments AS one
    CROSS JOIN unnest(ARRAY[held.customer_id, held.merged]) AS who (id)
    CROSS JOIN LATERAL (
        SELECT bool_or(moved.xid = held.xid) AS by_it,
               (array_agg(moved."from" IS NOT NULL ORDER BY moved.sequence) FILTER (
                   WHERE moved.id > held.id
               ))[1] AS then,
               (array_agg(moved."to" IS NOT NULL ORDER BY moved.sequence DESC) FILTER (
                   WHERE moved.id < held.id AND moved.recorded_at >= one.created_at
               ))[1] AS before
        FROM changes AS moved
        WHERE moved.customer_id = who.id AND moved.aspect = 'segment:' || one.name
          AND moved.aspect LIKE 'segment:%'  -- so that the index on such changes alone is taken
    ) AS told
    WHERE one.name = ANY ($6) AND who.id IS NOT NULL AND (told.by_it OR coalesce(
        told.then,
        EXISTS (SELECT FROM segment_members AS m WHERE m.customer_id = who.id AND m.segment_id = one.id)
        OR coalesce(told.before, false)
           AND NOT EXISTS (SELECT FROM customers WHERE id = who.id AND merged_into IS NULL)
    ))
)"""
