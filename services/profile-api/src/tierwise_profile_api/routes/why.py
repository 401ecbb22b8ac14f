"""Why a customer is classified as they are: every score in parts that add up to it."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain import attributes, ledger
from tierwise.domain.classify import attribute_columns
from tierwise.domain.customer_id import public_id
from tierwise.domain.explain import explain
from tierwise.domain.explanation import Explanation
from tierwise.security.keys import Reader
from tierwise_profile_api import documents, queries
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import BadParameter, known_parameters
from tierwise_profile_api.routes.customers import CustomerId, UnknownCustomer, customer_number

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[Depends(known_parameters)])

_EXAMPLES: Final = ["tier", "intent", "lifecycle", "tag:behaviour.browsing", "value"]

_encode = msgspec.json.Encoder().encode


@router.get(
    "/customers/{customer_id}/why",
    summary="Why a customer is classified as they are",
    response_model=documents.Why,
    responses=problems(404),
    openapi_extra=documented(PROFILES),
)
async def read_why(
    request: Request,
    reader: Annotated[Reader, Depends(holding(PROFILES))],
    customer_id: CustomerId,
    dimension: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Only this: tier, intent, lifecycle, tag:FAMILY.NAME, or one of the tier's dimensions.",
            examples=_EXAMPLES,
        ),
    ] = None,
) -> Response:
    """What the current view says, taken apart: the same functions over the same ledger, at the view's `classified_at`,
    by its rulebook. Parts have `points`, which add up to the points shown (largest remainders), and `exact`, whole
    numbers of 1 / `exact_per_point` point, which add up without any rounding. An id that was merged answers with the
    winner's."""
    number = customer_number(customer_id)
    source = backend_of(request)
    row = await source.reads.row(queries.CUSTOMER, number)
    if row is None:
        raise UnknownCustomer("No customer has this id.")
    rulebook = await source.rulebook(row["rulebook_id"], row["cuts"])
    columns = attribute_columns([attributes.unpack(row["attributes"])], rulebook)
    explanation = explain(ledger.unpack([row["ledger"]]), columns, row["classified_at"], rulebook)
    body = {"customer_id": public_id(row["id"])}
    if row["id"] != number:
        body |= {"requested_id": customer_id, "merged_into": public_id(row["id"])}
    return Response(_encode(body | _chosen(explanation, dimension)), media_type="application/json")


def _chosen(explanation: Explanation, dimension: str | None) -> dict[str, Any]:
    """All of it, or its head and the one thing asked for. Raises BadParameter."""
    document = {name: getattr(explanation, name) for name in explanation.__struct_fields__}
    if dimension is None:
        return document
    aspects = {name: {name: document[name]} for name in ("intent", "tier", "lifecycle")}
    tags = {tag.aspect: {"tag": tag} for tag in explanation.tags}
    dimensions = {part.name: {"dimension": part} for part in explanation.tier.parts}
    known: dict[str, dict[str, Any]] = dimensions | tags | aspects
    if dimension not in known:
        names = ", ".join([*aspects, *sorted(dimensions), *tags])
        raise BadParameter("dimension", f"The dimensions are {names}.")
    return {name: document[name] for name in ("as_of", "day", "rulebook", "cuts")} | known[dimension]
