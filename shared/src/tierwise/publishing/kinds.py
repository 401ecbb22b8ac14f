"""Which topic a change goes to, and what type of event it is there."""

from typing import Final, NamedTuple

from tierwise.domain.change import ERASE, INTENT, LIFECYCLE, MERGE, SEGMENT, SPLIT, TIER
from tierwise.stream import topics


class Kind(NamedTuple):
    """`type`: of the CloudEvent; its last part is the version of its data, which only grows."""

    topic: str
    type: str


TIER_CHANGED: Final = Kind(topics.TIER_CHANGES, "tierwise.customer.tier-changed.v1")
INTENT_CHANGED: Final = Kind(topics.INTENT_CHANGES, "tierwise.customer.intent-changed.v1")
LIFECYCLE_CHANGED: Final = Kind(topics.LIFECYCLE_CHANGES, "tierwise.customer.lifecycle-changed.v1")
TAG_CHANGED: Final = Kind(topics.TAG_CHANGES, "tierwise.customer.tag-changed.v1")
SEGMENT_CHANGED: Final = Kind(topics.SEGMENT_CHANGES, "tierwise.customer.segment-changed.v1")
MERGED: Final = Kind(topics.MERGES, "tierwise.customer.merged.v1")
ERASED: Final = Kind(topics.ERASURES, "tierwise.customer.erased.v1")

KINDS: Final = (TIER_CHANGED, INTENT_CHANGED, LIFECYCLE_CHANGED, TAG_CHANGED, SEGMENT_CHANGED, MERGED, ERASED)

_BY_ASPECT: Final = {
    TIER: TIER_CHANGED,
    INTENT: INTENT_CHANGED,
    LIFECYCLE: LIFECYCLE_CHANGED,
    MERGE: MERGED,
    SPLIT: MERGED,
    ERASE: ERASED,
}


def kind_of(aspect: str) -> Kind:
    """Of a row of the table `changes`; every other aspect is a segment or a tag."""
    other = SEGMENT_CHANGED if aspect.startswith(f"{SEGMENT}:") else TAG_CHANGED
    return _BY_ASPECT.get(aspect, other)
