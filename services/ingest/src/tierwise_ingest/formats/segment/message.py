"""Messages as they come over the wire, one or a batch of them, decoded as far as they are read.

Source: Segment, HTTP API Source (Tracking API) and Spec: Common Fields; RudderStack's HTTP API takes the same.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec

from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.wellformed import INT64_MAX, INT64_MIN, diagnose
from tierwise_ingest.body import BodyTooLarge, InvalidBody, array_at, split_array

VERBS: Final = ("identify", "track", "page", "screen", "group", "alias", "merge")
MESSAGE_BYTES_MAX: Final = 32 * 1024
MESSAGES_MAX: Final = 2_500
"""In a batch."""

_Value = (
    None | bool | Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)] | float | str | list[Any] | dict[str, Any]
)
_Id = str | int | None
T = TypeVar("T")


class Context(msgspec.Struct, rename="camel", gc=False):
    """What is read of it; the visitor's address is not."""

    traits: Any = None
    page: Any = None
    campaign: Any = None
    consent: Any = None
    consent_management: Any = None


class MergeProperty(msgspec.Struct, gc=False):
    type: str
    value: str


class Message(msgspec.Struct, rename="camel", gc=False):
    """`timestamp` is `original_timestamp` where a relay has put its own in the former's place."""

    type: str | None = None
    message_id: _Id = None
    user_id: _Id = None
    anonymous_id: _Id = None
    previous_id: _Id = None
    group_id: _Id = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: dict[str, _Value] | None = None
    traits: dict[str, _Value] | None = None
    context: Context | None = None
    merge_properties: list[MergeProperty] | None = None
    timestamp: datetime | None = None
    original_timestamp: datetime | None = None
    sent_at: datetime | None = None
    channel: Any = None


class Batch(NamedTuple):
    """`sent_at` and `context` are of those messages that bring none of their own."""

    messages: Sequence[bytes]
    sent_at: datetime | None = None
    context: Context | None = None


class _Envelope(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    sent_at: Any = None
    context: Any = None


_message = msgspec.json.Decoder(Message)
_envelope = msgspec.json.Decoder(_Envelope)
_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_batch(body: bytes) -> Batch:
    """Raises InvalidBody, BodyTooLarge. A message that is no JSON costs the others nothing; `read_message` says so."""
    try:
        envelope = _envelope.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidBody(f"A batch is an object with an array `batch`: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        messages, envelope = _salvaged(body)
    else:
        messages = [bytes(raw) for raw in envelope.batch]
    if len(messages) > MESSAGES_MAX:
        raise BodyTooLarge(f"There are more than {MESSAGES_MAX:,} messages in the batch; send fewer at once.")
    return Batch(messages, _lenient(envelope.sent_at, datetime), _lenient(envelope.context, Context))


_START: Final = re.compile(rb'"batch"\s*+:\s*+(?=\[)')


def _salvaged(body: bytes) -> tuple[list[bytes], _Envelope]:
    """By brackets and strings alone: one NaN in one message makes the whole body no JSON."""
    found = _START.search(body)
    if found is None:
        raise InvalidBody("The body is not JSON, or has no array `batch`.")
    end = array_at(body, found.end())
    try:
        envelope = _envelope.decode(body[: found.end()] + b"[]" + body[end:])
    except _ERRORS as error:
        raise InvalidBody("The body is not JSON.") from error
    return split_array(body[found.end() : end], items_max=MESSAGES_MAX), envelope


def _lenient(value: Any, type_: type[T]) -> T | None:
    """None for what is no such thing: the messages do without it."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return None


def read_message(raw: bytes) -> Message:
    """Raises InvalidInteraction, naming the field as the sender does."""
    if len(raw) > MESSAGE_BYTES_MAX:
        raise InvalidInteraction("too_large", None, f"A message has at most {MESSAGE_BYTES_MAX:,} bytes")
    try:
        return _message.decode(raw)
    except msgspec.ValidationError as error:
        raise _misfit(raw, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise diagnose(raw) from error


def _misfit(raw: bytes, complaint: str) -> InvalidInteraction:
    what, _, place = complaint.partition(" - at `")
    field = place.removeprefix("$").strip("`.")
    if not field:
        return InvalidInteraction("not_an_object", None, "A message is an object")
    if field.lower().endswith(("timestamp", "sentat")):
        return InvalidInteraction("invalid_time", field, "ISO 8601, as 2026-11-20T01:30:00.000Z")
    if field.endswith("[...]"):
        field = _misfitting(raw, field.removesuffix("[...]"))
        return InvalidInteraction("number_out_of_range", field, "Integers have at most 64 bits")
    return InvalidInteraction("invalid_field", field, what)


def _misfitting(raw: bytes, member: str) -> str:
    """The first of a member's fields that has no value that can be kept."""
    try:
        fields = msgspec.json.decode(raw)[member]
    except _ERRORS:
        return member
    for name, value in fields.items():
        try:
            msgspec.convert(value, _Value)
        except msgspec.ValidationError:
            return f"{member}.{name[:64]}"
    return member
