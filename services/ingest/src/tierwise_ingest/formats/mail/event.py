"""What happened to an e-mail, as each provider's webhook tells it in words of its own, and the interaction it makes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tierwise.asgi import Response, json_response
from tierwise.domain.claim import ID_CHARACTERS_MAX, Claim, Terms, content_id
from tierwise.domain.rejection import InvalidInteraction
from tierwise_ingest import documents
from tierwise_ingest.formats.format import Answer, Format, Ignored, Item, Read, Route, Signature, WriteKey, taken
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

QUEUED: Final = Ignored("queued")
"""The provider has the message and has not sent it."""
DEFERRED: Final = Ignored("deferred")
"""Not delivered yet, it will be tried again: neither a bounce nor anything that its recipient did."""
EMPTY: Final = Ignored("empty")
"""Sent to see whether anybody answers."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`type`: of the channel email. `field`: where the recipient stands, in the provider's words. `id`: unique in the
    source, None where the provider gives none; then what was `said` makes it. `time`: aware, None for the arrival."""

    type: str
    recipient: str | None
    field: str
    said: Any
    id: str | None = None
    time: datetime | None = None
    properties: dict[str, Any] = {}


Notice = Event | Ignored | InvalidInteraction
Events = Callable[[Request], Iterable[Notice]]
"""What a request tells, one at a time. Raises InvalidBody."""


def unknown(field: str) -> InvalidInteraction:
    """Kept as a dead letter, to be read when this version's successor knows it."""
    return InvalidInteraction("unknown_event", field, "This version of Tierwise knows no such event")


def told(**properties: Any) -> dict[str, Any]:
    """Properties without those that are not known."""
    return {name: value for name, value in properties.items() if value is not None and value not in ("", [], {})}


def reading(events: Events) -> Read:
    def read(request: Request, terms: Terms) -> Iterator[Item]:
        return (_item(event, terms) for event in events(request))

    return read


def _item(event: Notice, terms: Terms) -> Item:
    if not isinstance(event, Event):
        return event
    if event.recipient is None:
        return InvalidInteraction("missing_identifier", event.field, "The event does not say who its recipient is")
    known = event.id is not None and len(event.id) <= ID_CHARACTERS_MAX
    item = taken(
        Claim(
            id=event.id if known else content_id(event.said, terms.content_key),
            # A provider's clock that is ahead is wrong; what it tells has happened.
            time=None if event.time is None else min(event.time, terms.received),
            channel="email",
            type=event.type,
            identifiers={"email": event.recipient},
            properties=event.properties,
        ),
        terms,
    )
    if isinstance(item, InvalidInteraction) and item.field == "identifiers.email":
        return InvalidInteraction(item.code, event.field, item.detail)
    return item


def answer(_: Request, outcome: Outcome) -> Response:
    """200 whatever could not be mapped: it is kept here, and sending it again would not mend it."""
    return json_response(
        200,
        {
            "accepted": outcome.accepted,
            "ignored": outcome.ignored,
            "rejected": len(outcome.rejections),
            "kept": outcome.kept,
            "results": outcome.rejections,
        },
    )


def webhook(
    name: str,
    title: str,
    *,
    events: Events,
    credentials: WriteKey | Signature,
    example: Any,
    media_type: str = "application/json",
    probes: Sequence[str] = (),
    answer: Answer = answer,
    answers: Mapping[str, dict[str, Any]] = {},
) -> Format:
    """The format of a provider's webhook. `probes`: methods by which it looks whether the address exists; `answers`:
    what its own `answer` says beside 200."""
    path = f"/v1/webhooks/{name}/{{source}}"

    def document(method: str, **parts: Any) -> dict[str, Any]:
        return documents.operation(
            f"{title}: {'events' if method == 'POST' else 'is it there?'}",
            f"{method.lower()}_{name}_events",
            tag="e-mail providers",
            secured=isinstance(credentials, WriteKey),
            parameters=[documents.SOURCE],
            answers={"200": documents.WEBHOOK_ANSWER, **answers},
            **parts,
        )

    posted = document("POST", body={media_type: {"schema": {}, "example": example}})
    probed = [Route(method, path, document(method)) for method in probes]
    return Format(
        name=name,
        routes=(Route("POST", path, posted), *probed),
        credentials=credentials,
        read=reading(events),
        answer=answer,
        keeps_unmapped=True,
    )
