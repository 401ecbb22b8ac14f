"""Segment's Tracking API, which its SDKs and RudderStack's send to.

Source: Segment, HTTP API Source: addresses, authentication, limits; SDKs: what they do with which status.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

import msgspec

from tierwise.asgi import Response, json_response
from tierwise.domain.claim import Terms
from tierwise.problem import Problem, Unauthorized
from tierwise_ingest.authenticate import write_key
from tierwise_ingest.body import BodyTooLarge, InvalidBody, UnsupportedMediaType
from tierwise_ingest.formats.format import Format, Item, WriteKey
from tierwise_ingest.formats.segment.interaction import arrival, item_of
from tierwise_ingest.formats.segment.message import Batch, read_batch
from tierwise_ingest.formats.segment.routes import ROUTES, VERB_OF
from tierwise_ingest.formats.told import told
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

_MEDIA_TYPES: Final = frozenset({"", "application/json", "text/plain"})
_BATCH_BYTES_MAX: Final = 500 * 1024
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""RudderStack's batches may have 4 MB."""


class NoneAccepted(Problem):
    status, code, title = 400, "none_accepted", "No message was accepted"


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: str = ""


_keyed = msgspec.json.Decoder(_Keyed)


def key_of(request: Request) -> str:
    """From the header, or as older SDKs and browsers send it, from the body. Raises Unauthorized."""
    if request.header("authorization") is not None:
        return write_key(request)
    try:
        key = _keyed.decode(request.body).write_key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        key = ""
    if not key:
        raise Unauthorized("Send the source's write key as the user name of Basic, or as `writeKey` in the body.")
    return key


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType."""
    verb = VERB_OF[last_segment(request)]
    return messages(request, terms, None if verb == "batch" else verb)


def last_segment(request: Request) -> str:
    """Of the path, which senders may have encoded where there was no need to."""
    return unquote(request.url.partition("?")[0]).rpartition("/")[2]


def messages(request: Request, terms: Terms, verb: str | None) -> Iterator[Item]:
    """Of a batch, where no verb is named. Raises InvalidBody, BodyTooLarge, UnsupportedMediaType."""
    body = request.body
    if request.media_type not in _MEDIA_TYPES:
        raise UnsupportedMediaType("Content-Type is application/json.")
    if not body or body.isspace():
        raise InvalidBody("There is no body; send a message, or an object with an array `batch` of them.")
    batch = read_batch(body) if verb is None else Batch([body])
    if len(body) > _BATCH_BYTES_MAX and not _is_rudderstack(batch):
        raise BodyTooLarge(f"A batch has at most {_BATCH_BYTES_MAX:,} bytes; let the SDK send fewer messages at once.")
    arrived = arrival(batch, terms, verb=verb, anonymous_id=_anonymous_id(request))
    return (item_of(raw, arrived) for raw in batch.messages)


def _is_rudderstack(batch: Batch) -> bool:
    """Its SDKs name a channel in each message."""
    return bool(batch.messages) and b'"channel"' in batch.messages[0]


def _anonymous_id(request: Request) -> str | None:
    """RudderStack's SDKs send it in base64, to be routed by."""
    sent = request.header("anonymousid")
    if not sent:
        return None
    try:
        return base64.b64decode(sent, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return sent


def answer(_: Request, outcome: Outcome) -> Response:
    """200, which SDKs take for done; 400, which they do not send again, where nothing was accepted."""
    refused_whole(outcome)
    return json_response(200, {"success": True, **told(outcome)})


def refused_whole(outcome: Outcome) -> None:
    """Raises NoneAccepted where something was sent and nothing of it taken."""
    if outcome.rejections and not outcome.accepted:
        first, count = outcome.rejections[0], len(outcome.rejections)
        detail = f"{count} of {count} rejected, the first one for {first.field or 'itself'}: {first.detail}"
        results = msgspec.to_builtins(outcome.rejections)
        raise NoneAccepted(detail, accepted=0, rejected=count, results=results)


SEGMENT: Final = Format(
    name="segment",
    routes=ROUTES,
    credentials=WriteKey(key_of, in_body=True),
    read=read,
    answer=answer,
    body_bytes_max=BODY_BYTES_MAX,
    reason_member="message",  # without it RudderStack's SDK for Python takes a 401 for a fault of the network
)
