"""What a customer did and what was done with them, newest first."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.db.bodies import unpack_body
from tierwise.domain.change import rfc3339
from tierwise.security.keys import Reader
from tierwise_profile_api import history_documents, queries
from tierwise_profile_api.audit import personal_data_left
from tierwise_profile_api.authenticate import PERSONAL, TIMELINE, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import Channel, Cursor, Limit, Type, channels, instant, known_parameters, types
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.customers import CustomerId, customer_number, unknown_customer
from tierwise_profile_api.view import open_identifier

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[Depends(known_parameters)])

FIRST_INSTANT: Final = datetime(1, 1, 2, tzinfo=UTC)
LAST_INSTANT: Final = datetime(9999, 12, 30, tzinfo=UTC)
_BEFORE_ALL_KEYS: Final = bytes(16)

_encode = msgspec.json.Encoder().encode


@router.get(
    "/customers/{customer_id}/timeline",
    summary="Interactions, newest first",
    response_model=history_documents.Timeline,
    responses=problems(404, 410),
    openapi_extra=documented(TIMELINE),
)
async def read_timeline(
    request: Request,
    reader: Annotated[Reader, Depends(holding(TIMELINE))],
    customer_id: CustomerId,
    channel: Annotated[list[Channel] | None, Query(description="Any of these channels.")] = None,
    type: Annotated[list[Type] | None, Query(description="Any of these types.")] = None,  # noqa: A002
    from_: Annotated[str | None, Query(alias="from", description="From this time on, RFC 3339 with a zone.")] = None,
    to: Annotated[str | None, Query(description="Before this time, RFC 3339 with a zone.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """With those of the customers that were merged into this one. It ends at `retained_since`, where that is given:
    what happened before is kept as sums, which every score still counts."""
    number = customer_number(customer_id)
    source = backend_of(request)
    wanted = (channels(channel or ()), types(type or ()))
    start, end = instant("from", from_), instant("to", to)
    of = listing("timeline", number, *wanted, start, end)
    before = open_cursor(cursor, tuple[datetime, bytes], source.vault, of=of) if cursor is not None else None
    rows = await source.reads.rows(
        queries.TIMELINE,
        number,
        limit + 1,
        *(before or (end or LAST_INSTANT, _BEFORE_ALL_KEYS)),
        start or FIRST_INSTANT,
        *(some or None for some in wanted),
    )
    if not rows:
        raise await unknown_customer(source, number)
    happened = [row for row in rows if row["key"] is not None]
    last = happened[limit - 1] if len(happened) > limit else None
    since = rows[0]["retained_since"]
    body = {
        "items": await _items(happened[:limit], source, masked=PERSONAL not in reader.scopes),
        "next_cursor": seal_cursor((last["time"], last["key"]), source.vault, of=of) if last else None,
        "retained_since": None if since is None else rfc3339(since),
    }
    await personal_data_left(request, reader, [number] if happened else ())
    return Response(_encode(body), media_type="application/json")


async def _items(rows: Sequence[Row], source: Backend, *, masked: bool) -> list[dict[str, Any]]:
    hashes = {one for row in rows for one in row["identifiers"]}
    held = await source.reads.rows(queries.IDENTIFIERS, list(hashes)) if hashes else ()
    shown = {
        row["hash"]: {
            "kind": row["kind"],
            "value": open_identifier(row["kind"], row["ciphertext"], source.vault, masked=masked),
        }
        for row in held
    }
    return [_item(row, source, shown, masked=masked) for row in rows]


def _item(row: Row, source: Backend, shown: dict[bytes, dict[str, str]], *, masked: bool) -> dict[str, Any]:
    body = unpack_body(row["body"], source.vault, masked=masked)
    return {
        "id": row["interaction"],
        "source": row["source"],
        "time": rfc3339(row["time"]),
        "received": rfc3339(row["received"]),
        "channel": row["channel"],
        "type": row["type"],
        "attributes": body.attributes,
        **({} if body.updates is None else {"updates": body.updates}),
        "properties": body.properties,
        # In the order in which they came; one that was erased is known no more.
        "identifiers": [shown[one] for one in row["identifiers"] if one in shown],
    }
