"""Sensors Analytics (神策分析): the addresses that its SDKs send to.

Source: Sensors Analytics, technical guide, 数据格式 (Data format), 调试模式 (Debug mode). And what the SDKs do with
each status: those for servers keep what is not answered with 2xx, that for Android forgets all but 403, 404 and 5xx.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tierwise.asgi import Response, json_response
from tierwise.domain.claim import Admitted, Terms
from tierwise.problem import Unauthorized
from tierwise_ingest import documents
from tierwise_ingest.formats.format import Format, Ignored, Item, Route, WriteKey
from tierwise_ingest.formats.pixel import gif
from tierwise_ingest.formats.sensors.interaction import item_of
from tierwise_ingest.formats.sensors.message import Ids
from tierwise_ingest.formats.sensors.payload import raw_messages
from tierwise_ingest.formats.told import told
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

_TRIED: Final = Ignored("dry_run")
_PAYMENT_REQUIRED: Final = 402
"""Debug mode's word for data that is wrong."""


def token_in_query(request: Request) -> str:
    """Raises Unauthorized."""
    token = request.query.get("token")
    if not token:
        raise Unauthorized("Put the source's write key as `token` into the server's address that the SDK is given.")
    return token


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType."""
    messages = raw_messages(request, items_max=terms.items_max)
    ids = Ids(terms.content_key)
    items = (item_of(raw, ids, terms) for raw in messages)
    if _last(request) == "debug" and (request.header("dry-run") or "").lower() == "true":
        return (_TRIED if isinstance(item, Admitted) else item for item in items)
    return items


def answer(request: Request, outcome: Outcome) -> Response:
    """200 whatever was rejected: SDKs for servers would send the same for ever. The image's and the debugger's answers
    are as their clients want them: of debug mode an empty object, or 402 with the reasons."""
    match _last(request):
        case "sa.gif":
            return gif(outcome)
        case "debug" if outcome.rejections:
            return json_response(_PAYMENT_REQUIRED, told(outcome))
        case "debug":
            return json_response(200, {})
    return json_response(200, told(outcome))


def _last(request: Request) -> str:
    return request.url.partition("?")[0].rpartition("/")[2]


_EXAMPLE: Final = {
    "type": "track",
    "event": "ViewProduct",
    "distinct_id": "u7",
    "time": 1_795_138_200_000,
    "properties": {"$is_login_id": True, "product_id": "c-1", "product_classify": "courses"},
}
_ENCODED: Final = base64.b64encode(msgspec.json.encode(_EXAMPLE)).decode()
_TOKEN: Final = documents.parameter("token", "query", "The source's write key.")
_OPTIONAL: Final = {
    "data": "One message: base64 of JSON.",
    "data_list": "An array of messages.",
    "gzip": "1 where the JSON is compressed.",
    "crc": "Java's hash of the base64; beside `data` in a GET it stands in `ext`.",
}
_GIF: Final[dict[str, Any]] = {"description": "A transparent point.", "content": {"image/gif": {}}}
_COUNTED: Final[dict[str, Any]] = {
    "description": "Durable. What was rejected is told; sending it again would not help.",
    "content": {"application/json": {"schema": {"type": "object", "properties": documents.COUNTS}}},
}
_VALID: Final[dict[str, Any]] = {"description": "All of it is right.", "content": {"application/json": {}}}
_WRONG: Final[dict[str, Any]] = {
    "description": "Something is not right; results say what.",
    "content": documents.ACCEPTED_ANSWER["content"],
}


def _document(path: str, method: str) -> dict[str, Any]:
    answers = {"/sa": {"200": _COUNTED}, "/sa.gif": {"200": _GIF}, "/debug": {"200": _VALID, "402": _WRONG}}[path]
    name = f"sensors_{method.lower()}_{path[1:].replace('.', '_')}"
    parameters = [_TOKEN, documents.parameter("project", "query", "Not read.", required=False)]
    if path == "/debug":
        parameters.append(documents.parameter("Dry-Run", "header", "true: check it and keep nothing.", required=False))
    if method == "GET":
        parameters.append(documents.parameter("data", "query", _OPTIONAL["data"]))
        parameters.append(documents.parameter("ext", "query", "crc=HASH", required=False))
        return documents.operation(
            f"Sensors Analytics: {path}", name, tag="sensors", secured=False, parameters=parameters, answers=answers
        )
    form = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in _OPTIONAL.items()},
    }
    body = {"application/x-www-form-urlencoded": {"schema": form, "example": {"data": _ENCODED, "gzip": "0"}}}
    return documents.operation(
        f"Sensors Analytics: {path}", name, tag="sensors", secured=False, parameters=parameters, body=body,
        answers=answers,
    )  # fmt: skip


SENSORS: Final = Format(
    name="sensors",
    routes=tuple(
        Route(method, path, _document(path, method))
        for path in ("/sa", "/sa.gif", "/debug")
        for method in ("GET", "POST")
    ),
    credentials=WriteKey(token_in_query),
    read=read,
    answer=answer,
)
