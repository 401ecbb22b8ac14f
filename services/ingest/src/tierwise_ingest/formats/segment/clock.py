"""Clocks of devices put right: by the difference between when a request says that it was sent and when it arrived.

Source: Segment, Spec: Common Fields, section Timestamps: timestamp = receivedAt - (sentAt - originalTimestamp).
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from tierwise.domain.rejection import InvalidInteraction

_MINUTE: Final = timedelta(minutes=1)
_NOTHING: Final = timedelta(0)
TOLERANCE: Final = _MINUTE / 2


def ahead_of(received: datetime, sent_at: datetime | None) -> timedelta:
    """How far the sender's clock is ahead, in whole minutes: the way here takes time too, another time with each
    attempt, and a retry has to say the same as what it repeats."""
    if sent_at is None:
        return _NOTHING
    return round((_aware(sent_at) - received) / _MINUTE) * _MINUTE


def corrected(said: datetime, received: datetime, ahead: timedelta) -> datetime:
    """Not after its arrival, but for what the tolerance of clocks allows. Raises InvalidInteraction."""
    time = _aware(said)
    if ahead:
        try:
            time -= ahead
        except OverflowError:
            raise InvalidInteraction("invalid_time", "timestamp", "It is no time that a clock shows") from None
    return received if time > received + TOLERANCE else time


def _aware(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
