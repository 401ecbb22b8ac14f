"""Why a customer is classified as they are: every score in parts that add up to it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from tierwise.domain import attributes, packed_ledger
from tierwise.domain.classify import attribute_columns
from tierwise.domain.customer_id import internal_id, public_id
from tierwise.domain.explain import explain
from tierwise.domain.explanation import Explanation
from tierwise.folding.past import explained
from tierwise.problem import NotFound
from tierwise.security.keys import Reader
from tierwise_profile_api import history_documents, queries
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import AsOf, BadParameter, By, known_parameters, past_instant
from tierwise_profile_api.past import fold_past, read_past, read_states
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.changes import change_item
from tierwise_profile_api.routes.customers import CustomerId, NotSeenYet, customer_number, unknown_customer

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[Depends(known_parameters)])

_EXAMPLES: Final = ["tier", "intent", "lifecycle", "tag:behaviour.browsing", "value"]

AHEAD_MAX: Final = timedelta(minutes=5)
"""So far may the time of an interaction lie ahead of its arrival."""

_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,9}")
_SEQUENCE_MAX: Final = 2**31 - 1

_encode = msgspec.json.Encoder().encode


class UnknownChange(NotFound):
    code, title = "unknown_change", "There is no such change"


class NothingToExplain(NotFound):
    code, title = "nothing_to_explain", "No rule decided on this change"


@router.get(
    "/customers/{customer_id}/why",
    summary="Why a customer is classified as they are",
    response_model=history_documents.Why,
    responses=problems(404, 410),
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
    as_of: AsOf = None,
    by: By = "then",
) -> Response:
    """What the current view says, taken apart: the same functions over the same ledger, at the view's `classified_at`,
    by its rulebook. Parts have `points`, which add up to the points shown (largest remainders), and `exact`, whole
    numbers of 1 / `exact_per_point` point, which add up without any rounding. An id that was merged answers with the
    winner's. With `as_of` it is what the view as of then says."""
    number = customer_number(customer_id)
    source = backend_of(request)
    if as_of is not None:
        time = past_instant("as_of", as_of, datetime.now(UTC))
        found, explanation = await _explained_as_of(source, number, time, current=by == "current")
    else:
        row = await source.reads.row(queries.CUSTOMER, number)
        if row is None:
            raise await unknown_customer(source, number)
        rulebook = await source.rulebook(row["rulebook_id"], row["cuts"])
        columns = attribute_columns([attributes.unpack(row["attributes"])], rulebook)
        explanation = explain(packed_ledger.unpack([row["ledger"]]), columns, row["classified_at"], rulebook)
        found = row["id"]
    body = {"customer_id": public_id(found)}
    if found != number:
        body |= {"requested_id": customer_id, "merged_into": public_id(found)}
    return Response(_encode(body | _chosen(explanation, dimension)), media_type="application/json")


@router.get(
    "/changes/{change_id}/why",
    summary="Why a past change came about",
    response_model=history_documents.WhyChange,
    responses=problems(404, 410),
    openapi_extra=documented(PROFILES),
)
async def read_why_of_change(
    request: Request,
    reader: Annotated[Reader, Depends(holding(PROFILES))],
    change_id: Annotated[str, Path(description="`id` in a list of changes.", examples=["c_e2rp2eapcnax1:19"])],
) -> Response:
    """What the change is about, taken apart as of the change: event time up to then, as known today, by its rulebook
    and cuts. `agrees` says whether that still gives what was published."""
    source = backend_of(request)
    customer, sequence = _change_numbers(change_id)
    row = await source.reads.row(queries.CHANGE, customer, sequence)
    if row is None:
        raise UnknownChange("No change has this id.")
    past = await read_past(source, customer, row["at"] + AHEAD_MAX)
    if past is None:
        raise UnknownChange("The customer of this change is not there any more.")
    rulebook = await source.rulebook(row["rulebook_id"], row["cuts"])
    by_then = replace(past, rows=[one for one in past.rows if one["time"] <= row["at"] or _caused(row, one)])
    states = await fold_past(source, by_then, [row["at"] + AHEAD_MAX], rulebook)
    if row["merged"] is not None or row["aspect"].startswith("segment:") or not states:
        raise NothingToExplain("No rule decided on this: `by` of the change says what did.")
    explanation = explained(states[0], row["at"], rulebook)
    chosen = _of_aspect(explanation, row["aspect"])
    body = {"customer_id": public_id(past.id), "change": await change_item(row, source)}
    if past.id != customer:
        body |= {"requested_id": public_id(customer), "merged_into": public_id(past.id)}
    return Response(_encode(body | {"agrees": _value(chosen) == row["to"]} | chosen), media_type="application/json")


async def _explained_as_of(source: Backend, number: int, time: datetime, *, current: bool) -> tuple[int, Explanation]:
    past = await read_past(source, number, time)
    if past is None:
        raise await unknown_customer(source, number)
    states = await read_states(source, past, [time], current=current)
    if not states:
        raise NotSeenYet("Nothing had happened with this customer by then.")
    state, rulebook = states[0]
    return past.id, explained(state, time, rulebook)


def _change_numbers(change_id: str) -> tuple[int, int]:
    customer, _, sequence = change_id.rpartition(":")
    number = internal_id(customer)
    if number is None or not _SEQUENCE.fullmatch(sequence) or int(sequence) > _SEQUENCE_MAX:
        raise UnknownChange("This is no change's id; ids are a customer's id, a colon and a number.")
    return number, int(sequence)


def _caused(change: Row, interaction: Row) -> bool:
    """Clocks of senders run ahead a little: what caused a change may be of a time after it."""
    return (interaction["id"], interaction["source"]) == (change["interaction"], change["source"])


def _of_aspect(explanation: Explanation, aspect: str) -> dict[str, Any]:
    try:
        return _chosen(explanation, aspect)
    except BadParameter as error:
        raise NothingToExplain("The rulebook of then has no such tag any more.") from error


def _value(chosen: dict[str, Any]) -> str | None:
    """What the one aspect in a chosen part is."""
    if "tier" in chosen:
        return str(chosen["tier"].grade)
    if "intent" in chosen:
        return str(chosen["intent"].level)
    part = chosen["lifecycle"] if "lifecycle" in chosen else chosen["tag"]
    value: str | None = part.value
    return value


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
