"""The body of a request: received and inflated within a bound; and the bytes of the items that a JSON body holds."""

import re
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from tierwise.asgi import Receive, Scope, header
from tierwise.domain.rejection import InvalidInteraction
from tierwise.problem import Problem

JSON_TYPES: Final = frozenset({"", "application/json"})
"""Without a content type the body is read as JSON: nothing else is ever expected here."""
NDJSON_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_GZIP_WBITS: Final = 31
_INFLATE_STEP_BYTES: Final = 256 * 1024


class InvalidBody(Problem):
    status, code, title = 400, "invalid_body", "The body cannot be read"

    def as_rejection(self) -> InvalidInteraction:
        return InvalidInteraction(self.code, None, self.detail)


class BodyTooLarge(Problem):
    status, code, title = 413, "too_large", "The body is larger than this server takes"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "The body is in a form that is not read here"


class ClientGone(Exception):  # noqa: N818
    """The client left before its request was complete; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, *, bytes_max: int) -> bytes:
    """The whole body without its content encoding (gzip or none). Inflates no further than to `bytes_max`."""
    length = header(scope["headers"], b"content-length")
    if length is not None and length.isdigit() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    encoding = (header(scope["headers"], b"content-encoding") or b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b"x-gzip"):
        raise UnsupportedMediaType("Content-Encoding is gzip or none.", headers={"Accept-Encoding": "gzip"})
    gzip = None if encoding == b"identity" else _Gzip()
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        chunk = message.get("body", b"")
        for part in (chunk,) if gzip is None else gzip.inflated(chunk):
            size += len(part)
            if size > bytes_max:
                raise _too_large(bytes_max)
            parts.append(part)
    if gzip is not None:
        gzip.end()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def json_items(body: bytes, content_type: str, *, items_max: int) -> list[bytes]:
    """The bytes of each item: of the object, the array's elements, or the lines of NDJSON.

    They are not decoded; one that is no JSON does not spoil its neighbours. Raises InvalidBody, BodyTooLarge,
    UnsupportedMediaType.
    """
    media_type = _media_type(content_type)
    if not body or body.isspace():
        raise InvalidBody("There is no body; send one JSON object, an array of them, or NDJSON.")
    items = split_lines(body) if media_type in NDJSON_TYPES else split_json(body, items_max=items_max)
    if len(items) > items_max:
        raise BodyTooLarge(f"There are more than {items_max} items; send fewer a request.")
    return items


def _media_type(sent: str) -> str:
    media_type, _, parameters = sent.lower().partition(";")
    charset = re.search(r"charset=\"?([^\s;\"]+)", parameters)
    if media_type.strip() not in JSON_TYPES | NDJSON_TYPES:
        raise UnsupportedMediaType("Content-Type is application/json or application/x-ndjson.")
    if charset is not None and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("JSON is UTF-8 here (RFC 8259, section 8.1).")
    return media_type.strip()


class _Gzip:
    """Members of gzip one after the other (RFC 1952, section 2.2), in steps, so that a bomb is never held."""

    def __init__(self) -> None:
        self._inflater, self._begun = zlib.decompressobj(_GZIP_WBITS), False

    def inflated(self, chunk: bytes) -> Iterator[bytes]:
        """Raises InvalidBody."""
        while chunk:
            self._begun = True
            try:
                yield self._inflater.decompress(chunk, _INFLATE_STEP_BYTES)
            except zlib.error as error:
                raise InvalidBody("The body is not gzip, or damaged.") from error
            chunk = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._inflater, self._begun = zlib.decompressobj(_GZIP_WBITS), False

    def end(self) -> None:
        """Raises InvalidBody inside of a member."""
        if self._begun:
            raise InvalidBody("The gzip stream ends before its end; send the request again.")


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has more than {bytes_max:,} bytes, inflated; send fewer items a request.")


_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_raw_item = msgspec.json.Decoder(msgspec.Raw)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def split_lines(body: bytes) -> list[bytes]:
    """The lines of NDJSON without blank ones."""
    return [line for line in body.removeprefix(_BYTE_ORDER_MARK).split(b"\n") if line and not line.isspace()]


def split_json(body: bytes, *, items_max: int) -> list[bytes]:
    """The items of a JSON text: one, or an array's. Several objects on lines of their own are NDJSON that was
    sent under the name of JSON. Raises InvalidBody when it is none of these."""
    body = body.removeprefix(_BYTE_ORDER_MARK).strip(b" \t\r\n")
    if body.startswith(b"["):
        try:
            return [bytes(raw) for raw in _raw_list.decode(body)]
        except (msgspec.DecodeError, RecursionError):
            return split_array(body, items_max=items_max)
    if not body.startswith(b"{"):
        raise InvalidBody("The body is neither a JSON object, nor an array of them, nor NDJSON.")
    first_line = body.partition(b"\n")[0]
    if len(first_line) < len(body) and not _is_whole(body) and _is_whole(first_line):
        return split_lines(body)
    return [body]


def _is_whole(text: bytes) -> bool:
    try:
        _raw_item.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


# Strings as one token; runs of brackets as one, so that a deep nest is few of them.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]++|[\]}]++|[,"]', re.DOTALL)


def split_array(body: bytes, *, items_max: int) -> list[bytes]:
    """The elements of an array that the decoder refuses as a whole, by brackets and strings alone, so that what
    is wrong inside of one element is that one's. Raises InvalidBody when the brackets don't say where each ends."""
    items: list[bytes] = []
    depth, start = 0, 1
    for token in _TOKEN.finditer(body):
        match body[token.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += len(token[0])
            case 0x5D | 0x7D:  # ] }
                depth -= len(token[0])
                if depth <= 0:
                    return _ended(items, body, start, token.end(), depth)
            case 0x2C if depth == 1:  # ,
                items.append(body[start : token.start()].strip())
                start = token.end()
                if len(items) > items_max:
                    return items
            case 0x22 if len(token[0]) == 1:  # a string that never ends
                break
    raise InvalidBody("The array does not end: brackets or quotation marks do not match.")


def _ended(items: list[bytes], body: bytes, start: int, end: int, depth: int) -> list[bytes]:
    if depth < 0 or end < len(body):
        raise InvalidBody("There is something after the end of the array.")
    last = body[start : end - 1].strip()
    return [*items, last] if items or last else []


def array_at(body: bytes, start: int) -> int:
    """Where the array ends that begins at `start`. Raises InvalidBody where it does not end."""
    depth = 0
    for token in _TOKEN.finditer(body, start):
        match body[token.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += len(token[0])
            case 0x5D | 0x7D:  # ] }
                if depth <= len(token[0]):
                    return token.start() + depth
                depth -= len(token[0])
            case 0x22 if len(token[0]) == 1:  # a string that never ends
                break
    raise InvalidBody("The array does not end: brackets or quotation marks do not match.")
