"""The names of the topics."""

INTERACTIONS = "interactions"
DEAD_LETTERS = "interactions.dead-letter"
TIER_CHANGES = "customer.tier-changes"
INTENT_CHANGES = "customer.intent-changes"
LIFECYCLE_CHANGES = "customer.lifecycle-changes"
TAG_CHANGES = "customer.tag-changes"
SEGMENT_CHANGES = "customer.segment-changes"
MERGES = "customer.merges"
ERASURES = "customer.erasures"

PUBLISHED = (TIER_CHANGES, INTENT_CHANGES, LIFECYCLE_CHANGES, TAG_CHANGES, SEGMENT_CHANGES, MERGES, ERASURES)
