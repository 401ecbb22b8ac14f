"""The native form, as the interface documents it: one object, an array of them, or NDJSON."""

from collections.abc import Iterator

import msgspec

from tierwise.asgi import Response, json_response, problem_response
from tierwise.domain.claim import Terms, read_claim
from tierwise.domain.rejection import InvalidInteraction
from tierwise.problem import Problem
from tierwise_ingest import documents
from tierwise_ingest.authenticate import write_key
from tierwise_ingest.body import json_items
from tierwise_ingest.formats.format import Format, Item, Route, WriteKey
from tierwise_ingest.formats.told import told
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request


class NoneAccepted(Problem):
    status, code, title = 400, "none_accepted", "No interaction was accepted"


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody, BodyTooLarge, UnsupportedMediaType. One item at a time: what is kept of each is little, and a
    thousand decoded at once would be walked by the garbage collector again and again."""
    items = json_items(request.body, request.header("content-type") or "", items_max=terms.items_max)
    return (_read_one(item, terms) for item in items)


def _read_one(item: bytes, terms: Terms) -> Item:
    try:
        return read_claim(item, terms)
    except InvalidInteraction as rejection:
        return rejection


def answer(_: Request, outcome: Outcome) -> Response:
    """202 with what was rejected, 400 where something was sent and nothing accepted."""
    if outcome.rejections and not outcome.accepted:
        detail = f"All {len(outcome.rejections)} were rejected; results say why."
        results = msgspec.to_builtins(outcome.rejections)
        return problem_response(NoneAccepted(detail, accepted=0, rejected=len(outcome.rejections), results=results))
    return json_response(202, told(outcome))


NATIVE = Format(
    name="native",
    routes=(Route("POST", "/v1/interactions", documents.INTERACTIONS),),
    credentials=WriteKey(write_key),
    read=read,
    answer=answer,
)
