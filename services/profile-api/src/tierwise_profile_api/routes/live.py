"""Changes as they happen, as server-sent events."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request

from tierwise.domain.change import ASPECTS
from tierwise.security.keys import Reader
from tierwise_profile_api.authenticate import PROFILES, documented, holding, still_holds
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.live import backlog
from tierwise_profile_api.live.listener import Listener, Wanted
from tierwise_profile_api.live.position import Position
from tierwise_profile_api.live.response import Live, LiveResponse
from tierwise_profile_api.live.term import Permit
from tierwise_profile_api.parameters import TOKEN_PARAMETER, VALUES_MAX, BadParameter, known_parameters
from tierwise_profile_api.routes.customers import CustomerId, customer_number, unknown_customer

router = APIRouter(prefix="/v1", tags=["live"], dependencies=[Depends(known_parameters)])

Aspects = Annotated[
    list[str] | None,
    Query(description=f"Any of these: {', '.join(ASPECTS)}, tag:FAMILY.NAME, segment:NAME.", examples=[["tier"]]),
]
Old = Annotated[list[str] | None, Query(alias="from", description="From any of these values.", examples=[["C"]])]
New = Annotated[list[str] | None, Query(alias="to", description="To any of these values.", examples=[["A"]])]
LastEventId = Annotated[str | None, Header(description="The id of the last event heard; browsers send it.")]
LastEvent = Annotated[
    str | None, Query(alias="last_event_id", max_length=100, description="The same; the header goes first.")
]
AccessToken = Annotated[
    str | None,
    Query(alias=TOKEN_PARAMETER, description="A short-lived token: browsers' EventSource cannot send headers."),
]

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events whose data is that of the topics, and whose id is a position to go on from. A comment "
        "every 15 s; `event: end` says why the server ends it.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 7391-7402-9913\ndata: {"customer_id": "c_e2rp2eapcnax1", "sequence": 19, '
                '"aspect": "tier", "from": "C", "to": "B"}\n\n',
            }
        },
    }
}


@router.get(
    "/changes/live",
    summary="Every change as it happens, as server-sent events",
    status_code=200,
    response_class=LiveResponse,
    responses=problems() | _STREAM,
    openapi_extra=documented(PROFILES),
)
async def follow_changes(
    request: Request,
    reader: Annotated[Reader, Depends(holding(PROFILES))],
    aspect: Aspects = None,
    old: Old = None,
    new: New = None,
    last_event_id: LastEventId = None,
    last_event: LastEvent = None,
    _token: AccessToken = None,
) -> LiveResponse:
    """Committed changes in each customer's order, quiet ones left out, as on the topics. With the id of the last event
    heard nothing is missed; an event may come again after that."""
    return await _answer(request, reader, Listener(_wanted(aspect, old, new)), last_event_id, last_event)


@router.get(
    "/customers/{customer_id}/live",
    summary="A customer's changes as they happen, as server-sent events",
    status_code=200,
    response_class=LiveResponse,
    responses=problems(404, 410) | _STREAM,
    openapi_extra=documented(PROFILES),
)
async def follow_customer(
    request: Request,
    reader: Annotated[Reader, Depends(holding(PROFILES))],
    customer_id: CustomerId,
    aspect: Aspects = None,
    old: Old = None,
    new: New = None,
    last_event_id: LastEventId = None,
    last_event: LastEvent = None,
    _token: AccessToken = None,
) -> LiveResponse:
    """With those of customers who are merged into this one. Where this one is merged, the winner's from then on."""
    number = customer_number(customer_id)
    persons = await backlog.persons(backend_of(request).reads, [number])
    if number not in persons:
        raise await unknown_customer(backend_of(request), number)
    listener = Listener(_wanted(aspect, old, new), number, persons[number])
    return await _answer(request, reader, listener, last_event_id, last_event)


async def _answer(
    request: Request, reader: Reader, listener: Listener, header: str | None, parameter: str | None
) -> LiveResponse:
    source, live = backend_of(request), request.app.state.live
    assert isinstance(live, Live)  # noqa: S101
    field, text = ("Last-Event-ID", header) if header else ("last_event_id", parameter)
    heard = Position.parse(text, field=field) if text else None
    if heard is not None and heard.end > (await backlog.now(source.reads)).end:
        raise BadParameter(field, "This position is ahead of the database: it is another one's. Begin without it.")
    permit = Permit(reader.ends_s, lambda: still_holds(request, PROFILES))
    return LiveResponse(live, source, listener, heard, permit)


def _wanted(aspects: Sequence[str] | None, old: Sequence[str] | None, new: Sequence[str] | None) -> Wanted:
    for field, values in (("aspect", aspects), ("from", old), ("to", new)):
        if len(values or ()) > VALUES_MAX:
            raise BadParameter(field, f"At most {VALUES_MAX} values.")
    for aspect in aspects or ():
        if aspect not in ASPECTS and not aspect.startswith(("tag:", "segment:")):
            raise BadParameter("aspect", f"The aspects are {', '.join(ASPECTS)}, tag:FAMILY.NAME and segment:NAME.")
    return Wanted(frozenset(aspects or ()), frozenset(old or ()), frozenset(new or ()))
