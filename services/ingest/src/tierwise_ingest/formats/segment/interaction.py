"""Messages as interactions: what each verb says, under the product's names."""

from datetime import timedelta
from typing import Any, Final, NamedTuple

from tierwise.domain.claim import Admitted, Claim, Terms
from tierwise.domain.rejection import InvalidInteraction
from tierwise_ingest.formats.believed import believed
from tierwise_ingest.formats.format import Ignored, Item
from tierwise_ingest.formats.segment import properties, traits
from tierwise_ingest.formats.segment.clock import ahead_of, corrected
from tierwise_ingest.formats.segment.consent import scoring_allowed
from tierwise_ingest.formats.segment.kinds import PAGE, PROFILE, Kind, kind_of
from tierwise_ingest.formats.segment.message import VERBS, Batch, Context, Message, read_message

_NO_CONTEXT: Final = Context()


class Arrival(NamedTuple):
    """What a request says of all its messages. `ahead`: of the sender's clock. `anonymous_id`: of those that name
    nobody, as RudderStack's header has it. `verb`: that the path names."""

    terms: Terms
    ahead: timedelta
    context: Context
    verb: str | None = None
    anonymous_id: str | None = None


def arrival(batch: Batch, terms: Terms, *, verb: str | None = None, anonymous_id: str | None = None) -> Arrival:
    ahead = ahead_of(terms.received, batch.sent_at)
    return Arrival(terms, ahead, batch.context or _NO_CONTEXT, verb, anonymous_id)


def item_of(raw: bytes, arrived: Arrival) -> Item:
    try:
        message = read_message(raw)
        return interaction_of(message, arrived)
    except InvalidInteraction as rejection:
        return rejection


def interaction_of(message: Message, arrived: Arrival) -> Admitted:
    """Raises InvalidInteraction, naming the field as the sender does."""
    terms, context = arrived.terms, message.context or arrived.context
    verb = arrived.verb or message.type
    if verb is None:
        raise InvalidInteraction("missing_type", "type", f"One of {', '.join(VERBS)}")
    said = message.original_timestamp or message.timestamp
    ...
