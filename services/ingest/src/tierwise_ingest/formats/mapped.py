"""A webhook of any system, read by the mapping that its source declares: JSON path to field, as in imports of files."""

import base64
import hmac
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from tierwise.domain.claim import Terms, read_claim
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source
from tierwise.files.apply import Mapper, row_of
from tierwise.files.mapping import MappingError, parse_mapping
from tierwise_ingest import documents
from tierwise_ingest.body import BodyTooLarge
from tierwise_ingest.formats.format import Checking, Format, Ignored, Item, Route, Signature, WriteKey
from tierwise_ingest.formats.mail.event import answer
from tierwise_ingest.formats.mail.fields import document
from tierwise_ingest.formats.mail.signing import KEYED, check
from tierwise_ingest.request import Request

_FORM: Final = "application/x-www-form-urlencoded"
_SIGNATURES: Final = ("x-tierwise-signature", "x-hub-signature-256", "x-signature")
_ELEMENTWISE: Final = msgspec.json.Encoder(enc_hook=str)
_NOTHING: Final = Ignored("not_mapped")
"""No interaction of the mapping has a condition that holds of it."""


def _key(request: Request) -> str:
    """Raises Unauthorized."""
    return request.query.get("token") or KEYED.find(request)


async def verify(request: Request, _: Source, secrets: Sequence[bytes], __: Checking) -> None:
    """HMAC-SHA256 of the body in a header, hexadecimal or base64, with or without `sha256=` before it. Raises
    Unverified."""
    expected = []
    for secret in secrets:
        made = hmac.new(secret, request.body, "sha256").digest()
        expected += [made.hex().encode(), base64.b64encode(made)]
    sent = [(request.header(name) or "").removeprefix("sha256=") for name in _SIGNATURES]
    check(expected, *sent)


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """The items of each element of an array, or of the one document. Raises InvalidBody, BodyTooLarge."""
    found: Any = request.form if request.media_type == _FORM else document(request.body)
    elements = found if isinstance(found, list) else [found]
    if len(elements) > terms.items_max:
        raise BodyTooLarge(f"There are more than {terms.items_max} documents; send fewer a request.")
    return _items(elements, terms)


def _items(elements: list[Any], terms: Terms) -> Iterator[Item]:
    try:
        mapper = _mapper(terms.source.intake.mapping)
    except MappingError as error:
        yield InvalidInteraction("no_mapping", None, str(error))
        return
    for element in elements:
        yield from _mapped(element, mapper, terms)


def _mapped(element: Any, mapper: Mapper, terms: Terms) -> list[Item]:
    """All or nothing of a document: half of it would be read again with the dead letter."""
    try:
        claims = [_ELEMENTWISE.encode(claim) for claim in mapper(row_of(element))]
        return [read_claim(claim, terms) for claim in claims] or [_NOTHING]
    except InvalidInteraction as rejection:
        return [rejection]
    except UnicodeEncodeError:
        return [InvalidInteraction("lone_surrogate", None, "Half of a surrogate pair is no text")]


@lru_cache(maxsize=256)
def _mapper(text: str | None) -> Mapper:
    """Raises MappingError."""
    if text is None:
        raise MappingError("This source has no mapping: give it one with `tierwise source update NAME --mapping FILE`")
    return Mapper(parse_mapping(text, name="the source's mapping"), columns=None, moment=None)


_EXAMPLE: Final = {"call": {"id": "c-1", "from": "13800138000", "seconds": 185, "at": "2026-11-20T09:30:00+08:00"}}


def _format(name: str, summary: str, credentials: WriteKey | Signature) -> Format:
    schema = {"type": ["object", "array"], "description": "What the source's mapping reads."}
    operation = documents.operation(
        summary,
        f"post_{name}",
        tag="call providers",
        secured=isinstance(credentials, WriteKey),
        parameters=[documents.SOURCE],
        body={"application/json": {"schema": schema, "example": _EXAMPLE}, _FORM: {"schema": {"type": "object"}}},
        answers={"200": documents.WEBHOOK_ANSWER},
    )
    path = f"/v1/webhooks/{name.replace('_', '-')}/{{source}}"
    return Format(
        name=name,
        routes=(Route("POST", path, operation),),
        credentials=credentials,
        read=read,
        answer=answer,
        keeps_unmapped=True,
    )


MAPPED: Final = (
    _format("mapped", "Any system, by the source's mapping; with its write key", WriteKey(_key)),
    _format("mapped_signed", "Any system, by the source's mapping; signed", Signature(verify)),
)
