"""A message of Sensors Analytics, decoded as far as it is read.

Source: Sensors Analytics, technical guide, 数据格式 (Data format).
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from tierwise.domain.claim import Terms, content_id
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.wellformed import INT64_MAX, INT64_MIN, diagnose
from tierwise_ingest.formats.segment.clock import ahead_of, corrected

_Value = (
    None | bool | Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)] | float | str | list[Any] | dict[str, Any]
)
_Id = str | int | None
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX: Final = 1e11
"""What is less is in seconds, which old SDKs send: in milliseconds it would be the year 1973."""


class Message(msgspec.Struct, gc=False):
    type: str
    distinct_id: _Id = None
    original_id: _Id = None
    login_id: _Id = None
    anonymous_id: _Id = None
    identities: dict[str, Any] | None = None
    event: str | None = None
    time: int | float | None = None
    properties: dict[str, _Value] | None = None
    track_id: Any = msgspec.field(default=None, name="_track_id")
    flush_time: Any = msgspec.field(default=None, name="_flush_time")


_decoder = msgspec.json.Decoder(Message)


def read_message(raw: bytes, terms: Terms) -> Message:
    """Raises InvalidInteraction, naming the field as the sender does."""
    if len(raw) > terms.item_bytes_max:
        raise InvalidInteraction("too_large", None, f"A message has at most {terms.item_bytes_max:,} bytes")
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        field = place.removeprefix("$").strip("`.").removesuffix("[...]")
        if what.startswith("Object missing required field"):
            raise InvalidInteraction("missing_type", "type", "A message says its type") from error
        code = "invalid_field" if field else "not_an_object"
        raise InvalidInteraction(code, field or None, what) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise diagnose(raw) from error


def time_of(message: Message, received: datetime) -> datetime | None:
    """By a clock put right: a device says when it sends, too; what lies ahead of its arrival has happened by then.
    Raises InvalidInteraction."""
    if message.time is None:
        return None
    said, flushed = _instant(message.time), message.flush_time
    sent = _instant(flushed) if isinstance(flushed, int | float) and not isinstance(flushed, bool) else None
    try:
        return corrected(said, received, ahead_of(received, sent))
    except InvalidInteraction as rejection:
        raise InvalidInteraction(rejection.code, "time", rejection.detail) from rejection


def _instant(number: float) -> datetime:
    milliseconds = number * 1000 if abs(number) < _SECONDS_MAX else number
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError) as error:
        raise InvalidInteraction("invalid_time", "time", "Milliseconds since 1970") from error


class Ids:
    """Makes the ids of one request's messages, from what they say: a repeat of it says the same again."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._times: dict[str, int] = {}

    def of(self, message: Message) -> str | None:
        """None where it has neither a time nor a number of its own: then each arrival counts."""
        if message.time is None and message.track_id is None:
            return None
        said = {name: getattr(message, name) for name in Message.__struct_fields__ if name != "flush_time"}
        made = content_id(said, self._key)
        if message.track_id is not None:
            return made
        # SDKs of servers number nothing: what is said twice in one request happened twice.
        self._times[made] = times = self._times.get(made, 0) + 1
        return made if times == 1 else f"{made}-{times}"
