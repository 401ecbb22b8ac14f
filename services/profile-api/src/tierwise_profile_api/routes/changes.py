"""How a customer's classification came to be, newest first."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import StoredChange, event_id, published, rfc3339
from tierwise.security.keys import Reader
from tierwise_profile_api import history_documents, queries
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import Aspect, Cursor, Limit, aspects, instant, known_parameters
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.customers import CustomerId, customer_number, unknown_customer

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[Depends(known_parameters)])

_AFTER_ALL: Final = (1 << 63) - 1

_encode = msgspec.json.Encoder().encode


@router.get(
    "/customers/{customer_id}/changes",
    summary="Changes of the classification, newest first",
    response_model=history_documents.Changes,
    responses=problems(404, 410),
    openapi_extra=documented(PROFILES),
)
async def read_changes(
    request: Request,
    reader: Annotated[Reader, Depends(holding(PROFILES))],
    customer_id: CustomerId,
    aspect: Annotated[
        list[Aspect] | None,
        Query(
            description="Any of these: tier, intent, lifecycle, merge, tag, tag:FAMILY.NAME, segment:NAME.",
            max_length=50,
        ),
    ] = None,
    from_: Annotated[str | None, Query(alias="from", description="Taking effect from this time on, RFC 3339.")] = None,
    to: Annotated[str | None, Query(description="Taking effect before this time, RFC 3339.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """As published, quiet ones too; with those of the customers that were merged into this one, under their ids."""
    number = customer_number(customer_id)
    source = backend_of(request)
    wanted = aspects(aspect or ())
    start, end = instant("from", from_), instant("to", to)
    of = listing("changes", number, wanted, start, end)
    before = open_cursor(cursor, tuple[int], source.vault, of=of)[0] if cursor is not None else _AFTER_ALL
    rows = await source.reads.rows(queries.CHANGES, number, limit + 1, before, wanted or None, start, end)
    if not rows:
        raise await unknown_customer(source, number)
    happened = [row for row in rows if row["id"] is not None]
    last = happened[limit - 1] if len(happened) > limit else None
    body = {
        "items": [await change_item(row, source) for row in happened[:limit]],
        "next_cursor": seal_cursor((last["id"],), source.vault, of=of) if last else None,
    }
    return Response(_encode(body), media_type="application/json")


async def change_item(row: Row, source: Backend) -> dict[str, Any]:
    """One row of `queries.CHANGES`, as it is published and listed."""
    change = StoredChange(
        customer_id=row["customer_id"],
        sequence=row["sequence"],
        aspect=row["aspect"],
        old=row["from"],
        new=row["to"],
        score=row["score"],
        merged=row["merged"],
        at=row["at"],
        recorded_at=row["recorded_at"],
        rulebook_id=row["rulebook_id"],
        cuts=row["cuts"],
        cause=row["cause"],
        interaction=row["interaction"],
        source=row["source"],
        reasons=row["reasons"],
    )
    return {
        "id": event_id(change),
        "aspect": change.aspect,
        **published(change, await source.rulebook(change.rulebook_id)),
        "recorded_at": rfc3339(change.recorded_at),
    }
