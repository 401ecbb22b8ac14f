"""Webhooks: who gets changes by HTTP, and what became of each delivery. For administrators."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.security.keys import Reader
from tierwise.webhooks.document import Described, InvalidSubscription, read_subscription
from tierwise.webhooks.log import BEFORE_ALL, STATES, State, add_replay, add_test, delivery_document, list_deliveries
from tierwise.webhooks.registry import (
    create_subscription,
    delete_subscription,
    find_subscription,
    list_subscriptions,
    rotate_secret,
    subscription_document,
    update_subscription,
)
from tierwise.webhooks.template import names_personal_data
from tierwise_profile_api import subscription_documents
from tierwise_profile_api.authenticate import ADMIN, PERSONAL, MissingScope, holding
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.body import read_body
from tierwise_profile_api.cursor import listing, open_cursor, seal_cursor
from tierwise_profile_api.parameters import BadParameter, Cursor, Limit, instant, known_parameters
from tierwise_profile_api.reads import database_needed

_administrator = holding(ADMIN)
router = APIRouter(
    prefix="/v1/subscriptions",
    tags=["subscriptions"],
    dependencies=[Depends(known_parameters), Depends(_administrator)],
)

Administrator = Annotated[Reader, Depends(_administrator)]

SubscriptionId = Annotated[str, Path(description="The subscription's id.", examples=["sub_5f0c9a1e77d2b340"])]
_encode = msgspec.json.Encoder().encode


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grace_s: int = subscription_documents.GRACE_S


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}):
    since: str
    until: str


@router.get("", summary="Subscriptions, the oldest first", **subscription_documents.LIST)
async def read_subscriptions(request: Request) -> Response:
    """All, disabled ones too."""
    async with _transaction(request) as connection:
        found = await list_subscriptions(connection, backend_of(request).vault)
    return _answer({"items": [subscription_document(one) for one in found], "next_cursor": None})


@router.get("/{subscription_id}", summary="A subscription", **subscription_documents.SHOW)
async def read_one_subscription(request: Request, subscription_id: SubscriptionId) -> Response:
    async with _transaction(request) as connection:
        found = await find_subscription(connection, backend_of(request).vault, subscription_id)
    return _answer(subscription_document(found))


@router.post("", summary="Subscribe to changes", status_code=201, **subscription_documents.CREATE)
async def make_subscription(request: Request, administrator: Administrator) -> Response:
    """Sends what is committed from now on, as signed Standard Webhooks, or in the form of `request`. A `request` that
    names identifiers or attributes needs the scope pii:read too."""
    described = read_subscription(await read_body(request, Any))
    _check_personal(described, administrator)
    async with _transaction(request) as connection:
        made, secret = await create_subscription(connection, backend_of(request).vault, described)
    answer = _answer({"subscription": subscription_document(made), "secret": secret}, status=201)
    answer.headers["Location"] = f"/v1/subscriptions/{made.id}"
    return answer


@router.patch("/{subscription_id}", summary="Change a subscription", **subscription_documents.UPDATE)
async def change_subscription(
    request: Request, subscription_id: SubscriptionId, administrator: Administrator
) -> Response:
    """A JSON merge patch (RFC 7396): what it names is replaced, null is the default again. Enabled again, it goes on
    where it stopped. Deliveries follow within two seconds."""
    patch = await read_body(request, Any)
    async with _transaction(request) as connection:
        changed = await update_subscription(connection, backend_of(request).vault, subscription_id, patch)
        _check_personal(changed.described, administrator)
    return _answer(subscription_document(changed))


@router.delete("/{subscription_id}", summary="Delete a subscription", status_code=204, **subscription_documents.DELETE)
async def remove_subscription(request: Request, subscription_id: SubscriptionId) -> Response:
    async with _transaction(request) as connection:
        await delete_subscription(connection, subscription_id)
    return Response(status_code=204)


@router.post("/{subscription_id}/rotate", summary="A new secret", **subscription_documents.ROTATE)
async def rotate_subscription(request: Request, subscription_id: SubscriptionId) -> Response:
    """The older one signs too for `grace_s` seconds, so that the receiver can be changed meanwhile."""
    rotation = await read_body(request, Rotation)
    grace = timedelta(seconds=max(-1, min(rotation.grace_s, subscription_documents.GRACE_S_MAX + 1)))
    async with _transaction(request) as connection:
        secret = await rotate_secret(connection, backend_of(request).vault, subscription_id, grace=grace)
    return _answer({"secret": secret})


@router.post(
    "/{subscription_id}/test", summary="Send an event that says nothing", status_code=202, **subscription_documents.TEST
)
async def test_subscription(request: Request, subscription_id: SubscriptionId) -> Response:
    """Once, also where the subscription is disabled. What became of it stands in its deliveries."""
    async with _transaction(request) as connection:
        delivery = await add_test(connection, subscription_id)
    return _answer(delivery_document(delivery), status=202)


@router.get(
    "/{subscription_id}/deliveries", summary="What was sent, the newest first", **subscription_documents.DELIVERIES
)
async def read_deliveries(
    request: Request,
    subscription_id: SubscriptionId,
    state: Annotated[
        str | None, Query(description=f"Of {', '.join(STATES)}.", json_schema_extra={"enum": list(STATES)})
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """With every attempt. What waits in the history of changes is not in it yet."""
    source, wanted = backend_of(request), _state(state)
    of = listing("deliveries", subscription_id, wanted)
    before = open_cursor(cursor, tuple[int], source.vault, of=of)[0] if cursor is not None else BEFORE_ALL
    async with _transaction(request) as connection:
        rows = await list_deliveries(connection, subscription_id, limit=limit + 1, before=before, state=wanted)
    more = len(rows) > limit
    items = [delivery_document(row) for row in rows[:limit]]
    next_cursor = seal_cursor((rows[limit - 1].id,), source.vault, of=of) if more else None
    return _answer({"items": items, "next_cursor": next_cursor})


@router.post(
    "/{subscription_id}/replay", summary="Send a time range again", status_code=202, **subscription_documents.REPLAY
)
async def replay_subscription(request: Request, subscription_id: SubscriptionId) -> Response:
    """What was recorded from `from` until before `to` and passes the filters, with the ids that it had. `changes`: how
    many are looked at."""
    given = await read_body(request, Range)
    since, until = _moment("from", given.since), _moment("to", given.until)
    async with _transaction(request) as connection:
        count = await add_replay(connection, subscription_id, since, until)
    return _answer({"changes": count}, status=202)


def _check_personal(described: Described, administrator: Reader) -> None:
    """Raises MissingScope."""
    template = described.request
    if template and names_personal_data(described.url, template) and PERSONAL not in administrator.scopes:
        raise MissingScope(PERSONAL)


def _state(given: str | None) -> State | None:
    found: dict[str | None, State] = {one: one for one in STATES}
    if given is not None and given not in found:
        raise BadParameter("state", f"The states are {', '.join(STATES)}.")
    return found.get(given)


def _moment(field: str, given: str) -> datetime:
    moment = instant(field, given)
    if moment is None:
        raise InvalidSubscription(field, "it is required")
    return moment


@asynccontextmanager
async def _transaction(request: Request) -> AsyncIterator[AsyncConnection]:
    with database_needed():
        async with backend_of(request).engine.begin() as connection:
            yield connection


def _answer(content: object, *, status: int = 200) -> Response:
    return Response(_encode(content), status, {"Cache-Control": "no-store"}, "application/json")
