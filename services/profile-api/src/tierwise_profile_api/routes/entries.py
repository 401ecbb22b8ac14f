"""What else is written back: notes, corrections, and that two customers are one person."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from tierwise.domain.match import PROFILE_UPDATE
from tierwise.security.keys import Reader
from tierwise_profile_api.authenticate import WRITE, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.body import InvalidBody, read_body
from tierwise_profile_api.entries import Said, append, customer_row
from tierwise_profile_api.entry_documents import Correction, NewMerge, NewNote, appending
from tierwise_profile_api.parameters import known_parameters
from tierwise_profile_api.routes.customers import CustomerId

router = APIRouter(prefix="/v1", tags=["writing back"], dependencies=[Depends(known_parameters)])

Writer = Annotated[Reader, Depends(holding(WRITE))]


@router.post("/customers/{customer_id}/notes", summary="Note something down", **appending(NewNote))
async def add_note(request: Request, writer: Writer, customer_id: CustomerId) -> Response:
    """An interaction crm/note, on the timeline; rules may look at its properties."""
    note = await read_body(request, NewNote)
    row = await customer_row(backend_of(request), customer_id)
    return await append(request, writer, [row], Said("note", note.properties | {"text": note.text}, id=note.id))


@router.post("/customers/{customer_id}/attributes", summary="Correct attributes", **appending(Correction))
async def correct_attributes(request: Request, writer: Writer, customer_id: CustomerId) -> Response:
    """They are as given from now on, until a source says otherwise later."""
    correction = await read_body(request, Correction)
    row = await customer_row(backend_of(request), customer_id)
    said = Said(PROFILE_UPDATE, _because(correction.reason), correction.attributes, correction.id)
    return await append(request, writer, [row], said)


@router.post("/merges", summary="Say that two customers are one person", **appending(NewMerge))
async def merge_customers(request: Request, writer: Writer) -> Response:
    """All that either did is the older one's from then on, whose id the answer names; the other id goes on answering
    with that one's view."""
    merge = await read_body(request, NewMerge)
    if merge.customers[0] == merge.customers[1]:
        raise InvalidBody("Name two customers.", field="customers")
    source = backend_of(request)
    rows = [await customer_row(source, one) for one in merge.customers]
    said = Said(PROFILE_UPDATE, {"merged": list(merge.customers)} | _because(merge.reason), id=merge.id)
    return await append(request, writer, rows, said)


def _because(reason: str | None) -> dict[str, Any]:
    return {} if reason is None else {"reason": reason}
