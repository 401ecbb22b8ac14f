"""CloudEvents 1.0 as they come over HTTP: binary, structured and batched.

Source: CloudEvents specification 1.0.2; JSON Event Format, sections 2 to 4; HTTP Protocol Binding, section 3.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec

from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.wellformed import diagnose
from tierwise_ingest.body import BodyTooLarge, InvalidBody, UnsupportedMediaType, split_json
from tierwise_ingest.request import Request

_STRUCTURED, _BATCH = "application/cloudevents", "application/cloudevents-batch"
_PREFIX: Final = "ce-"
_NAME: Final = re.compile(r"[a-z0-9]+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
T = TypeVar("T")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`attributes`: of the context, extensions among them. `data`: decoded where it is JSON or text, else bytes."""

    attributes: dict[str, Any]
    data: Any


def events(request: Request, *, items_max: int) -> Iterator[Event | InvalidInteraction]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType."""
    form, _, encoding = request.media_type.partition("+")
    if form == _BATCH and encoding == "json":
        if not request.body.lstrip().startswith(b"["):
            raise InvalidBody("A batch is an array of events.")
        items = split_json(request.body, items_max=items_max)
        if len(items) > items_max:
            raise BodyTooLarge(f"There are more than {items_max} events; send fewer a request.")
        return (_read(_structured, raw) for raw in items)
    if form == _STRUCTURED and encoding == "json":
        return iter([_read(_structured, request.body)])
    if form in (_STRUCTURED, _BATCH):
        raise UnsupportedMediaType("Of the event formats JSON is read here.")
    if request.header("ce-specversion") is None:
        raise InvalidBody(
            "The request is no CloudEvent: it needs the header ce-specversion, or Content-Type "
            "application/cloudevents+json or application/cloudevents-batch+json."
        )
    return iter([_read(_binary, request)])


def _read(of: Callable[[T], Event], source: T) -> Event | InvalidInteraction:
    try:
        return of(source)
    except InvalidInteraction as rejection:
        return rejection


def _binary(request: Request) -> Event:
    attributes: dict[str, Any] = {}
    for name, value in request.headers:
        header = name.decode("latin-1").lower()
        if header.startswith(_PREFIX) and _NAME.fullmatch(header, len(_PREFIX)):
            attributes[header.removeprefix(_PREFIX)] = _unescaped(value.decode("latin-1"), header)
    content_type = request.header("content-type")
    if content_type:
        attributes["datacontenttype"] = content_type
    return Event(attributes=attributes, data=_decoded(request.body, content_type) if request.body else None)


def _unescaped(value: str, header: str) -> str:
    """HTTP Protocol Binding, section 3.1.3.2: quoted strings are read as such, then percent-encoding is undone once."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInteraction("invalid_utf8", header, "Percent-encoding that is no UTF-8") from None


def _structured(raw: bytes) -> Event:
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise diagnose(raw) from error
    if not isinstance(document, dict):
        raise InvalidInteraction("not_an_object", None, "An event is an object")
    data = document.pop("data", None)
    encoded = document.pop("data_base64", None)
    if encoded is not None:
        if data is not None:
            raise InvalidInteraction("invalid_data", "data_base64", "An event has either data or data_base64")
        data = _decoded(_bytes(encoded), _text(document.get("datacontenttype")))
    return Event(attributes=document, data=data)


def _bytes(encoded: object) -> bytes:
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInteraction("invalid_data", "data_base64", "It is no base64") from None


def _decoded(content: bytes, content_type: str | None) -> Any:
    """JSON where it is such, or nothing is said; text; else the bytes."""
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        try:
            return msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            found = diagnose(content)
            raise InvalidInteraction(
                found.code, f"data.{found.field}" if found.field else "data", found.detail
            ) from error
    if media_type.startswith("text/"):
        return content.decode("utf-8", "replace")
    return content


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
