"""What RudderStack's clients send beside Segment's verbs: merges, imports, beacons, pixels and webhooks.

Source: RudderStack, HTTP API, Merge, Pixel API, Webhook source; and what its gateway answers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tierwise.asgi import Response
from tierwise.domain.claim import Terms
from tierwise.problem import Unauthorized
from tierwise_ingest import documents
from tierwise_ingest.authenticate import write_key
from tierwise_ingest.body import InvalidBody, json_items
from tierwise_ingest.formats.format import Format, Item, Route, WriteKey
from tierwise_ingest.formats.pixel import gif
from tierwise_ingest.formats.segment.format import BODY_BYTES_MAX, last_segment, messages, refused_whole
from tierwise_ingest.formats.segment.interaction import arrival, item_of
from tierwise_ingest.formats.segment.message import VERBS, Batch
from tierwise_ingest.formats.segment.routes import BATCH, MESSAGE
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

_WEBHOOK_EVENT: Final = "webhook_source_event"
_FORM: Final = "application/x-www-form-urlencoded"
_NESTING_MAX: Final = 8


def key_in_query(request: Request) -> str:
    """Raises Unauthorized."""
    if not (key := request.query.get("writeKey")):
        raise Unauthorized("Send the source's write key as the parameter `writeKey`.")
    return key


def _key_of_webhook(request: Request) -> str:
    return request.query.get("writeKey") or write_key(request)


def _read(request: Request, terms: Terms) -> Iterator[Item]:
    return messages(request, terms, "merge" if last_segment(request) == "merge" else None)


def _read_pixel(request: Request, terms: Terms) -> Iterator[Item]:
    """Parameters are members, those with dots nested ones. Raises InvalidBody."""
    message: dict[str, Any] = {}
    for name, value in request.query.items():
        if name != "writeKey":
            _put(message, name.split(".", _NESTING_MAX), value)
    message["anonymousId"] = str(message.get("anonymousId", "")).strip('"')
    raw = _encoded(message)
    yield item_of(raw, arrival(Batch([raw]), terms, verb=last_segment(request)))


def _put(document: dict[str, Any], path: list[str], value: str) -> None:
    *parents, name = path
    for parent in parents:
        inner = document.setdefault(parent, {})
        if not isinstance(inner, dict):
            return
        document = inner
    document.setdefault(name, value)


def _encoded(document: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError as error:
        raise InvalidBody("The parameters are not UTF-8.") from error


def _read_webhook(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType."""
    if request.media_type == _FORM:
        items = [_encoded(dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)))]
    else:
        items = json_items(request.body, request.header("content-type") or "", items_max=terms.items_max)
    arrived = arrival(Batch(items), terms)
    return (item_of(_as_message(raw), arrived) for raw in items)


_document = msgspec.json.Decoder(dict[str, Any])


def _as_message(raw: bytes) -> bytes:
    """A document of any kind becomes a track whose properties it is; a message stays one."""
    try:
        document = _document.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return raw  # for the reason why
    if document.get("type") in VERBS:
        return raw
    message = {
        "type": "track",
        "event": _WEBHOOK_EVENT,
        "messageId": _first(document, "messageId", "message_id", "event_id", "id"),
        "userId": _first(document, "userId", "user_id"),
        "anonymousId": _first(document, "anonymousId", "anonymous_id"),
        "context": {"traits": {name: document[name] for name in ("email", "phone") if name in document}},
        "properties": document,
    }
    return _encoded(message)


def _first(document: Mapping[str, Any], *names: str) -> str | int | None:
    found = (document.get(name) for name in names)
    return next((value for value in found if isinstance(value, str | int) and not isinstance(value, bool)), None)


def _answer(_: Request, outcome: Outcome) -> Response:
    """`OK`, and what was not in headers, since the body is the gateway's. 400 where nothing was accepted."""
    if not outcome.kept:
        refused_whole(outcome)
    headers = {"Tierwise-Accepted": str(outcome.accepted), "Tierwise-Rejected": str(len(outcome.rejections))}
    return Response(200, b"OK", media_type="text/plain; charset=utf-8", headers=headers)


def _answer_pixel(_: Request, outcome: Outcome) -> Response:
    return gif(outcome)


_OK: Final[dict[str, Any]] = {
    "200": {
        "description": "Durable. The headers count what was accepted and rejected.",
        "headers": {name: {"schema": {"type": "integer"}} for name in ("Tierwise-Accepted", "Tierwise-Rejected")},
        "content": {"text/plain": {"schema": {"const": "OK"}}},
    }
}
_GIF: Final[dict[str, Any]] = {
    "200": {"description": "A transparent point, whatever was rejected.", "content": {"image/gif": {}}}
}
_KEY: Final = documents.parameter("writeKey", "query", "The source's write key.")
_TRACK: Final = {"type": "track", "messageId": "r-1", "userId": "u7", "event": "Product Viewed", "channel": "server"}
_TIMED: Final = _TRACK | {"originalTimestamp": "2026-11-20T01:30:00.000Z"}
_PAIR: Final = [{"type": "email", "value": "li@example.com"}, {"type": "mobile", "value": "+8613800138000"}]


def _operation(name: str, media_type: str, schema: Mapping[str, Any], example: Any, **more: Any) -> dict[str, Any]:
    body = {media_type: {"schema": schema, "example": example}}
    summary = f"RudderStack: {name}"
    return documents.operation(summary, f"rudderstack_{name}", tag="rudderstack", body=body, answers=_OK, **more)


def _pixel(verb: str, *required: str) -> Route:
    parameters = [_KEY, *(documents.parameter(name, "query", "As in a message.") for name in required)]
    text = "Other parameters are members of the message, with dots where they are nested: `properties.path`."
    operation = documents.operation(
        f"RudderStack: {verb}, told by an image's address",
        f"rudderstack_pixel_{verb}",
        tag="rudderstack",
        secured=False,
        description=text,
        parameters=parameters,
        answers=_GIF,
    )
    return Route("GET", f"/pixel/v1/{verb}", operation)


_MERGE_SCHEMA: Final = {"type": "object", "required": ["mergeProperties"], "properties": {"mergeProperties": {
    "type": "array", "items": {"type": "object", "required": ["type", "value"]}}}}  # fmt: skip

_BATCHED: Final = {"sentAt": "2026-11-20T01:30:02.000Z", "batch": [_TIMED]}
_JSON: Final = "application/json"

RUDDERSTACK: Final = (
    Format(
        name="rudderstack",
        routes=(
            Route(
                "POST",
                "/v1/merge",
                _operation("merge", _JSON, _MERGE_SCHEMA, {"messageId": "r-2", "mergeProperties": _PAIR}),
            ),
            Route("POST", "/v1/import", _operation("import", _JSON, BATCH, _BATCHED)),
        ),
        credentials=WriteKey(write_key),
        read=_read,
        answer=_answer,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Format(
        name="rudderstack",
        routes=(
            Route(
                "POST",
                "/beacon/v1/batch",
                _operation("beacon", "text/plain", BATCH, _BATCHED, secured=False, parameters=[_KEY]),
            ),
        ),
        credentials=WriteKey(key_in_query),
        read=_read,
        answer=_answer,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Format(
        name="rudderstack",
        routes=(_pixel("track", "anonymousId", "event"), _pixel("page", "anonymousId", "name")),
        credentials=WriteKey(key_in_query),
        read=_read_pixel,
        answer=_answer_pixel,
    ),
    Format(
        name="rudderstack_webhook",
        routes=(
            Route(
                "POST",
                "/v1/webhook",
                _operation(
                    "webhook",
                    _JSON,
                    {"anyOf": [MESSAGE, {"type": "object"}]},
                    {"event_id": "w-1", "email": "li@example.com", "plan": "trial"},
                    parameters=[_KEY | {"required": False}],
                ),
            ),
        ),
        credentials=WriteKey(_key_of_webhook),
        read=_read_webhook,
        answer=_answer,
        keeps_unmapped=True,
    ),
)
