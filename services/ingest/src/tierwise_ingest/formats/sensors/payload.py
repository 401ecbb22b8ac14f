"""What a request of Sensors Analytics' SDKs carries: messages as JSON, in base64, mostly compressed.

Source: the senders of the SDKs themselves: for Python (consumers), JavaScript (`encodeTrackData`, batches), Node
(`Submitter`) and Android (`AnalyticsMessages.sendHttpRequest`).
"""

import base64
import binascii
import zlib
from typing import Final
from urllib.parse import parse_qsl

import numpy as np

from tierwise_ingest.body import BodyTooLarge, InvalidBody, UnsupportedMediaType, split_json
from tierwise_ingest.request import Request

_INFLATED_BYTES_MAX: Final = 16_000_000
_GZIP_WBITS: Final = 31
_FORM_TYPES: Final = frozenset({"", "application/x-www-form-urlencoded", "text/plain"})
"""sendBeacon sends a form as text."""

_MISSING: Final = "Send the messages as `data` (one) or `data_list` (an array): base64 of JSON, with gzip=1 compressed."


def raw_messages(request: Request, *, items_max: int) -> list[bytes]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType. A message that is no JSON costs the others nothing."""
    fields = _fields(request)
    encoded = (fields.get("data_list") or fields.get("data") or "").replace(" ", "+")  # of base64 that was not escaped
    if not encoded:
        raise InvalidBody(_MISSING)
    if (crc := _crc_of(fields)) is not None and crc != java_hash(encoded):
        raise InvalidBody("crc: it is not that of the data, which was changed or cut on its way.")
    messages = split_json(_decoded(encoded, fields.get("gzip", "0")), items_max=items_max)
    if len(messages) > items_max:
        raise BodyTooLarge(f"There are more than {items_max} messages; let the SDK send fewer at once.")
    return messages


def _fields(request: Request) -> dict[str, str]:
    if request.method == "GET":
        return request.query
    if request.media_type not in _FORM_TYPES:
        raise UnsupportedMediaType("The SDKs send a form, application/x-www-form-urlencoded.")
    return request.form


def _crc_of(fields: dict[str, str]) -> int | None:
    sent = fields.get("crc") or dict(parse_qsl(fields.get("ext", ""))).get("crc", "")
    try:
        return int(sent)
    except ValueError:
        return None


def java_hash(text: str) -> int:
    """What `hashCode` of a string is in Java, whose characters stand in Latin-1 here: 32 bits with sign."""
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.uint32)
    powers = np.full(len(codes), 31, np.uint32)
    powers[:1] = 1
    np.multiply.accumulate(powers, out=powers)
    return int((codes[::-1] * powers).sum(dtype=np.uint32).astype(np.int32))


def _decoded(encoded: str, gzip: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBody(f"data: it is no base64: {error}.") from error
    if gzip in ("", "0"):
        return data
    if gzip != "1":
        raise InvalidBody("gzip: 0 or 1; encrypted messages (9) cannot be read, switch encryption off in the SDK.")
    inflater = zlib.decompressobj(_GZIP_WBITS)
    try:
        inflated = inflater.decompress(data, _INFLATED_BYTES_MAX)
    except zlib.error as error:
        raise InvalidBody("data: it is not gzip, or damaged.") from error
    if inflater.unconsumed_tail:
        raise BodyTooLarge(f"The messages have more than {_INFLATED_BYTES_MAX:,} bytes, inflated.")
    if not inflater.eof:
        raise InvalidBody("data: the gzip stream ends before its end.")
    return inflated
