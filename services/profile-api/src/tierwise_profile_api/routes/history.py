"""How a customer stood over time: a point for each step, for a chart."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.domain.rulebook import Rulebook
from tierwise.folding.past import State, classified
from tierwise.security.keys import Reader
from tierwise_profile_api import documents
from tierwise_profile_api.authenticate import PROFILES, documented, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.documents import problems
from tierwise_profile_api.parameters import BadParameter, By, instant, known_parameters, past_instant
from tierwise_profile_api.past import folded, read_past, read_states
from tierwise_profile_api.routes.customers import CustomerId, customer_number, unknown_customer

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[Depends(known_parameters)])

POINTS_MAX: Final = 400
DAYS: Final = 90

_STEP: Final = re.compile(r"([1-9][0-9]{0,3})([dw])")

_encode = msgspec.json.Encoder().encode


@router.get(
    "/customers/{customer_id}/history",
    summary="The classification over time",
    response_model=documents.History,
    responses=problems(404, 410),
    openapi_extra=documented(PROFILES),
)
async def read_history(
    request: Request,
    reader: Annotated[Reader, Depends(holding(PROFILES))],
    customer_id: CustomerId,
    from_: Annotated[str | None, Query(alias="from", description="The first point; 90 days before the last.")] = None,
    to: Annotated[str | None, Query(description="The last point; now.")] = None,
    step: Annotated[str, Query(description="Days or weeks from point to point.", examples=["7d"])] = "1d",
    by: By = "then",
) -> Response:
    """Points as `as_of` gives them, each by the rulebook and cuts of then, the last one at `to`; none from before the
    customer was first seen. At most 400."""
    number, now = customer_number(customer_id), datetime.now(UTC)
    end = now if to is None else past_instant("to", to, now)
    start = instant("from", from_) or end - timedelta(days=DAYS)
    times = _times(start, end, step)
    source = backend_of(request)
    past = await read_past(source, number, end)
    if past is None:
        raise await unknown_customer(source, number)
    found = await read_states(source, past, times, current=by == "current")
    body: dict[str, Any] = {"customer_id": public_id(past.id)}
    if past.id != number:
        body |= {"requested_id": customer_id, "merged_into": public_id(past.id)}
    points = await folded(source, lambda: [_point(state, rulebook) for state, rulebook in found])
    return Response(_encode({**body, "points": points}), media_type="application/json")


def _times(start: datetime, end: datetime, step: str) -> list[datetime]:
    match = _STEP.fullmatch(step)
    if match is None:
        raise BadParameter("step", "A step is a number of days or weeks: 1d, 7d, 4w.")
    if start > end:
        raise BadParameter("from", "It is after `to`.")
    days = int(match[1]) * (7 if match[2] == "w" else 1)
    if (end - start).days // days + 2 > POINTS_MAX:
        raise BadParameter("step", f"At most {POINTS_MAX} points: take longer steps.")
    times = [start]
    while times[-1] + timedelta(days=days) < end:
        times.append(times[-1] + timedelta(days=days))
    return times if times[-1] == end else [*times, end]


def _point(state: State, rulebook: Rulebook) -> dict[str, Any]:
    result = classified(state, rulebook).result[0]
    tenths = zip(rulebook.dimensions, result["dimensions"].tolist(), strict=True)
    return {
        "at": rfc3339(state.time),
        "intent": {"score": int(result["score"]) / 10, "level": rulebook.level_names[result["level"]]},
        "lifecycle": {"stage": rulebook.stage_names[result["stage"]]},
        "tier": {
            "grade": rulebook.tier_names[result["tier"]],
            "score": (int(result["tier_score"]) + 5) // 10 / 10,
            "dimensions": {dimension.name: score / 10 for dimension, score in tenths},
        },
        "rulebook": rulebook.version,
        "cuts": rulebook.cuts_number,
    }
