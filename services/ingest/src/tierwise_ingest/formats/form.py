"""POST /v1/forms/{source}: an HTML form that is sent without JavaScript, and where its visitor goes from there."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tierwise.asgi import Response, problem_response
from tierwise.domain.claim import Claim, Terms
from tierwise.domain.interaction import IDENTIFIER_KINDS
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.updates import ATTRIBUTES_MAX
from tierwise.problem import Problem, Unauthorized
from tierwise_ingest import documents
from tierwise_ingest.body import InvalidBody, UnsupportedMediaType
from tierwise_ingest.formats.format import Format, Item, Route, WriteKey, taken
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
_FIELDS_MAX: Final = 500
_KEY, _FORM, _REDIRECT, _CONSENT = "_key", "_form", "_redirect", "_consent"
_ATTRIBUTE: Final = "attributes."

_THANKS: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Thank you 谢谢</title></head>
<body style="font: 1.2rem system-ui; display: grid; place-items: center; min-height: 90vh">
<p>Thank you, we have received it. <span lang="zh">谢谢，我们已收到。</span></p></body></html>
"""


class FormRejected(Problem):
    status, code, title = 400, "form_rejected", "The form was not accepted"


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Fields named as identifiers are identifiers, `attributes.NAME` an attribute, `_form` the form's name; every other
    one is a property, a list where it comes several times. Raises UnsupportedMediaType, InvalidBody."""
    fields = _fields(request)
    redirect = fields.pop(_REDIRECT, None)
    if redirect is not None and not _is_allowed(redirect[0], terms):
        yield InvalidInteraction("redirect_not_allowed", _REDIRECT, "The source does not list this origin")
        return
    consent = fields.pop(_CONSENT, None)
    properties: dict[str, Any] = {"form": fields.pop(_FORM, [terms.source.name])[0]}
    identifiers: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for name, values in fields.items():
        if name in IDENTIFIER_KINDS:
            identifiers[name] = values[0].strip()
        elif name.startswith(_ATTRIBUTE) and len(attributes) < ATTRIBUTES_MAX:
            attributes[name.removeprefix(_ATTRIBUTE)] = values[0]
        elif name != _KEY:
            properties[name] = values[0] if len(values) == 1 else values
    claim = Claim(
        channel="web",
        type="form_submitted",
        identifiers={kind: value for kind, value in identifiers.items() if value},
        attributes=attributes,
        properties=properties,
        consent=None if consent is None else consent[-1].lower() in ("1", "true", "yes", "on"),
    )
    yield taken(claim, terms)


def _fields(request: Request) -> dict[str, list[str]]:
    if request.media_type != _MEDIA_TYPE:
        raise UnsupportedMediaType(f"A form is sent as {_MEDIA_TYPE}, which is what browsers do without an enctype.")
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise InvalidBody(f"The form cannot be read: it has over {_FIELDS_MAX} fields, or is not UTF-8.") from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _is_allowed(url: str, terms: Terms) -> bool:
    """An open redirect would lend our name to whoever writes a link."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    intake = terms.source.intake
    return f"{parts.scheme}://{parts.netloc}" in intake.redirects | intake.origins


def answer(request: Request, outcome: Outcome) -> Response:
    """303 to where the form says, or a page that says thank you; 400 with the reason where it was not taken."""
    if outcome.rejections:
        first = outcome.rejections[0]
        return problem_response(FormRejected(first.detail, field=first.field, reason=first.code))
    redirect = request.form.get(_REDIRECT)
    if redirect:
        return Response(303, b"", media_type="text/plain", headers={"Location": redirect})
    return Response(200, _THANKS.encode(), media_type="text/html; charset=utf-8")


def _key(request: Request) -> str:
    """Raises Unauthorized."""
    key = request.form.get(_KEY) if request.media_type == _MEDIA_TYPE else None
    if not key:
        raise Unauthorized(f"The form needs a hidden field {_KEY} with the source's write key.")
    return key


_DOCUMENT: Final = documents.operation(
    "An HTML form, without JavaScript",
    "send_form",
    tag="pages",
    secured=False,
    parameters=[documents.SOURCE],
    body={
        _MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": [_KEY],
                "properties": {
                    _KEY: {"type": "string", "description": "The source's write key."},
                    _FORM: {"type": "string", "description": "The form's name."},
                    _REDIRECT: {"type": "string", "description": "Where the visitor goes; an origin that it lists."},
                    _CONSENT: {"type": "string", "description": "1 or 0: may it be scored?"},
                },
                "additionalProperties": {"type": "string"},
            },
            "example": {_KEY: "KEY", _FORM: "contact", "email": "li@example.com", "topic": "courses"},
        }
    },
    answers={
        "200": {"description": "A page that says thank you.", "content": {"text/html": {}}},
        "303": {"description": "To where the form says."},
    },
)

FORM: Final = Format(
    name="form",
    routes=(Route("POST", "/v1/forms/{source}", _DOCUMENT),),
    credentials=WriteKey(_key, in_body=True),
    read=read,
    answer=answer,
)
