"""What people rule of who is who: two are taken apart, an identifier is blocked, a person is erased."""

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.domain.interaction import IDENTIFIER_KINDS
from tierwise.domain.ruling import BLOCK, ERASE, SPLIT, UNBLOCK, Kind
from tierwise.security.keys import Reader
from tierwise_profile_api import queries, ruling_documents
from tierwise_profile_api.authenticate import ADMIN, PERSONAL, WRITE, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.body import InvalidBody, read_body
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.documents import problems
from tierwise_profile_api.entries import customer_row
from tierwise_profile_api.parameters import Cursor, Limit, known_parameters
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.customers import CustomerId, customer_number
from tierwise_profile_api.ruling_documents import NewBlock, NewErasure, NewSplit, ruling
from tierwise_profile_api.rulings import held_by, normalised, parted, repeated, rule
from tierwise_profile_api.view import open_identifier

router = APIRouter(prefix="/v1", tags=["who is who"], dependencies=[Depends(known_parameters)])

Writer = Annotated[Reader, Depends(holding(WRITE))]

_AFTER_ALL: Final = (1 << 63) - 1

_encode = msgspec.json.Encoder().encode


@router.post(
    "/customers/{customer_id}/split",
    summary="Take apart who is not one person",
    **ruling(NewSplit, 404, 410, of_customer=True),
)
async def split_customer(request: Request, writer: Writer, customer_id: CustomerId) -> Response:
    """Both are as if they had never been tied: each has what names their identifiers, and what names both goes with the
    strongest. An id that was merged is a customer again. No source ties the two sides again; a later merge does."""
    split = await read_body(request, NewSplit)
    if (answer := await repeated(request, writer, SPLIT, split.id)) is not None:
        return answer
    source = backend_of(request)
    number = (await customer_row(source, customer_id))["id"]
    going, staying = await parted(source, number, split)
    return await rule(request, writer, SPLIT, going, staying, id=split.id, reason=split.reason, customer=number)


@router.post(
    "/customers/{customer_id}/erase",
    summary="Erase a person",
    **ruling(NewErasure, 404, 409, 410, of_customer=True),
)
async def erase_customer(request: Request, writer: Writer, customer_id: CustomerId) -> Response:
    """What was stored of them is deleted, and what happened up to now never comes back, however late it arrives. There
    is no way back. The id answers 410; what they do from now on is a new customer's."""
    erasure = await read_body(request, NewErasure)
    if (answer := await repeated(request, writer, ERASE, erasure.id)) is not None:
        return answer
    source = backend_of(request)
    number = (await customer_row(source, customer_id))["id"]
    held = await held_by(source, number)
    return await rule(request, writer, ERASE, held, id=erasure.id, reason=erasure.reason, customer=number)


@router.post("/identifiers/block", summary="Let an identifier tie nobody", **ruling(NewBlock, of_customer=False))
async def block_identifier(request: Request, writer: Writer) -> Response:
    """For what many people share: a mailbox, a reception's telephone, a kiosk. Whom it had tied come apart. What names
    nothing else is a customer of its own."""
    return await _blocked(request, writer, BLOCK)


@router.post("/identifiers/unblock", summary="Let an identifier tie again", **ruling(NewBlock, of_customer=False))
async def unblock_identifier(request: Request, writer: Writer) -> Response:
    """As if it had never been blocked."""
    return await _blocked(request, writer, UNBLOCK)


async def _blocked(request: Request, writer: Reader, kind: Kind) -> Response:
    block = await read_body(request, NewBlock)
    if block.kind not in IDENTIFIER_KINDS:
        raise InvalidBody(f"The kinds are {', '.join(IDENTIFIER_KINDS)}.", field="kind")
    named = normalised(block.kind, block.value, field="value")
    hash_ = backend_of(request).vault.identifier_hash(named.kind, named.value)
    return await rule(request, writer, kind, [hash_], id=block.id, reason=block.reason, named=named)


@router.get(
    "/rulings",
    summary="Who ruled what of who is who, newest first",
    response_model=ruling_documents.Rulings,
    responses=problems(404),
    openapi_extra=documented(ADMIN),
)
async def read_rulings(
    request: Request,
    reader: Annotated[Reader, Depends(holding(ADMIN))],
    customer_id: Annotated[str | None, Query(description="Said of this customer, as the id was then.")] = None,
    ruling: Annotated[
        Literal["split", "block", "unblock", "erase"] | None, Query(description="Of this kind alone.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Splits, blocks and erasures, with their authors; merges and all else that is written back are on the timeline."""
    customer = None if customer_id is None else customer_number(customer_id)
    source = backend_of(request)
    of = listing("rulings", customer, ruling)
    before = open_cursor(cursor, tuple[int], source.vault, of=of)[0] if cursor is not None else _AFTER_ALL
    rows = await source.reads.rows(queries.RULINGS, before, limit + 1, customer, ruling)
    body = {
        "items": [_item(row, source, masked=PERSONAL not in reader.scopes) for row in rows[:limit]],
        "next_cursor": seal_cursor((rows[limit - 1]["number"],), source.vault, of=of) if len(rows) > limit else None,
    }
    return Response(_encode(body), 200, {"Cache-Control": "no-store"}, "application/json")


def _item(row: Row, source: Backend, *, masked: bool) -> dict[str, Any]:
    reason, identifier = row["reason"], None
    if row["kind"] is not None:
        value = open_identifier(row["kind"], row["ciphertext"], source.vault, masked=masked)
        identifier = {"kind": row["kind"], "value": value}
    return {
        "id": row["id"],
        "ruling": row["ruling"],
        "author": row["author"],
        "at": rfc3339(row["at"]),
        "reason": None if reason is None else source.vault.open(reason, context=b"reason").decode(),
        "customer_id": None if row["customer_id"] is None else public_id(row["customer_id"]),
        "identifier": identifier,
    }
