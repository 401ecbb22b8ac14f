"""Who read whose personal data, newest first."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, queries
from tierwise_profile_api.authenticate import ADMIN, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import Cursor, Limit, instant, known_parameters
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.customers import customer_number

router = APIRouter(prefix="/v1", tags=["audit"], dependencies=[Depends(known_parameters)])

_AFTER_ALL: Final = (1 << 63) - 1

_encode = msgspec.json.Encoder().encode


@router.get(
    "/audit",
    summary="Who read whose personal data, newest first",
    response_model=documents.Audit,
    responses=problems(404),
    openapi_extra=documented(ADMIN),
)
async def read_audit(
    request: Request,
    _: Annotated[Reader, Depends(holding(ADMIN))],
    customer_id: Annotated[str | None, Query(description="Of this customer alone, as their id was then.")] = None,
    reader: Annotated[str | None, Query(description="By this reader alone.", max_length=200)] = None,
    from_: Annotated[str | None, Query(alias="from", description="From this time on, RFC 3339.")] = None,
    to: Annotated[str | None, Query(description="Before this time, RFC 3339.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """An entry is there before unmasked values leave; what was masked is not in it."""
    customer = None if customer_id is None else customer_number(customer_id)
    start, end = instant("from", from_), instant("to", to)
    source = backend_of(request)
    of = listing("audit", customer, reader, start, end)
    before = open_cursor(cursor, tuple[int], source.vault, of=of)[0] if cursor is not None else _AFTER_ALL
    rows = await source.reads.rows(queries.AUDIT, before, limit + 1, customer, reader, start, end)
    more = len(rows) > limit
    body = {
        "items": [_item(row) for row in rows[:limit]],
        "next_cursor": seal_cursor((rows[limit - 1]["id"],), source.vault, of=of) if more else None,
    }
    return Response(_encode(body), 200, {"Cache-Control": "no-store"}, "application/json")


def _item(row: Row) -> dict[str, Any]:
    return {
        "at": rfc3339(row["at"]),
        "reader": row["reader"],
        "name": row["name"],
        "customer_id": None if row["customer_id"] is None else public_id(row["customer_id"]),
        "what": row["what"],
    }
