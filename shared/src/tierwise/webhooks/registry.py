"""The subscriptions there are: made, changed, given new secrets, deleted. Deliveries follow within two seconds."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import deliveries, segments, subscription_secrets, subscriptions
from tierwise.domain.change import rfc3339
from tierwise.problem import NotFound, Problem
from tierwise.security.personal import Vault
from tierwise.webhooks.document import Described, Filters, InvalidSubscription, document_of, patched
from tierwise.webhooks.signing import Secret
from tierwise.webhooks.template import Template, template_document

GRACE: Final = timedelta(hours=24)
GRACE_MAX: Final = timedelta(days=90)
SUBSCRIPTIONS_MAX: Final = 100
"""Each is served by a task and connections of its own."""

_OLDEST_RUNNING: Final = text("pg_snapshot_xmin(pg_current_snapshot())")


class UnknownSubscription(NotFound):
    code, title = "unknown_subscription", "There is no such subscription"


class TooManySubscriptions(Problem):
    status, code, title = 409, "too_many_subscriptions", "There are as many subscriptions as there may be"


class LiveSecret(NamedTuple):
    """`ends_at`: it signs until then; None: until it is rotated."""

    id: str
    secret: Secret
    created_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """`disabled`: why and when it was disabled here. `paused_until`: the endpoint asked for it. `pending`: how many
    deliveries wait, those that are tried again too. `live`: the newest secret first."""

    id: str
    described: Described
    disabled: tuple[str, datetime] | None
    paused_until: datetime | None
    created_at: datetime
    pending: int
    live: Sequence[LiveSecret]


async def create_subscription(
    connection: AsyncConnection, vault: Vault, described: Described
) -> tuple[Subscription, str]:
    """It gets what is committed from now on. Its secret is shown this once. Raises TooManySubscriptions,
    InvalidSubscription where it names a segment that there is not."""
    if (await connection.scalar(select(func.count()).select_from(subscriptions)) or 0) >= SUBSCRIPTIONS_MAX:
        raise TooManySubscriptions(f"There are {SUBSCRIPTIONS_MAX}: delete one that nobody needs.")
    await _hold_segments(connection, described.filters)
    subscription_id = f"sub_{secrets.token_hex(8)}"
    row = {**_columns(described, vault, subscription_id), "id": subscription_id, "last_id": 0}
    cursor = {"window_from": _OLDEST_RUNNING, "window_to": _OLDEST_RUNNING}
    await connection.execute(insert(subscriptions).values(**row, **cursor))
    shown = await _add_secret(connection, vault, subscription_id)
    return await find_subscription(connection, vault, subscription_id), shown


async def list_subscriptions(connection: AsyncConnection, vault: Vault) -> list[Subscription]:
    """All, the oldest first."""
    rows = (await connection.execute(select(subscriptions).order_by(subscriptions.c.created_at))).all()
    return [await _subscription(connection, vault, row) for row in rows]


async def find_subscription(connection: AsyncConnection, vault: Vault, subscription_id: str) -> Subscription:
    """Raises UnknownSubscription."""
    return await _subscription(connection, vault, await subscription_row(connection, subscription_id))


async def update_subscription(
    connection: AsyncConnection, vault: Vault, subscription_id: str, patch: Any
) -> Subscription:
    """`patch`: see `patched`. Enabled again, it goes on where it stopped, at once. Raises UnknownSubscription,
    InvalidSubscription."""
    row = await subscription_row(connection, subscription_id, lock=True)
    new = patched(described_of(row, vault), patch)
    await _hold_segments(connection, new.filters)
    changed = _columns(new, vault, row.id)
    if new.enabled and not row.enabled:
        changed |= {"disabled_reason": None, "disabled_at": None, "paused_until": None}
        mine = (deliveries.c.subscription_id == row.id) & (deliveries.c.state == "pending")
        await connection.execute(update(deliveries).where(mine).values(due=func.now(), attempt=0))
    await connection.execute(update(subscriptions).where(subscriptions.c.id == row.id).values(changed))
    return await find_subscription(connection, vault, subscription_id)


async def naming_segment(connection: AsyncConnection, name: str) -> list[str]:
    """The ids of the subscriptions whose filters name this segment, disabled ones too."""
    query = select(subscriptions.c.id).where(subscriptions.c.filters["segments"].has_key(name))
    return list((await connection.execute(query.order_by(subscriptions.c.created_at))).scalars())


async def delete_subscription(connection: AsyncConnection, subscription_id: str) -> None:
    """With its log. Raises UnknownSubscription."""
    row = await subscription_row(connection, subscription_id, lock=True)
    await connection.execute(delete(subscriptions).where(subscriptions.c.id == row.id))


async def rotate_secret(
    connection: AsyncConnection, vault: Vault, subscription_id: str, *, grace: timedelta = GRACE
) -> str:
    """The new secret. The one there was signs beside it for `grace` more; an older one goes at once. Raises
    UnknownSubscription, InvalidSubscription."""
    if not timedelta(0) <= grace <= GRACE_MAX:
        raise InvalidSubscription("grace_s", f"it is between 0 and {int(GRACE_MAX.total_seconds())}")
    row = await subscription_row(connection, subscription_id, lock=True)
    mine = subscription_secrets.c.subscription_id == row.id
    ends = subscription_secrets.c.retired_at
    await connection.execute(delete(subscription_secrets).where(mine, ends.is_not(None)))
    await connection.execute(update(subscription_secrets).where(mine).values(retired_at=func.now() + grace))
    return await _add_secret(connection, vault, row.id)


async def live_secrets(connection: AsyncConnection, vault: Vault, subscription_id: str) -> list[LiveSecret]:
    """The newest first."""
    ends = subscription_secrets.c.retired_at
    query = select(subscription_secrets).where(
        subscription_secrets.c.subscription_id == subscription_id, ends.is_(None) | (ends > func.now())
    )
    return [
        LiveSecret(
            str(row.id),
            Secret.parse(vault.open(row.ciphertext, context=_context(subscription_id))),
            row.created_at,
            row.retired_at,
        )
        for row in await connection.execute(query.order_by(subscription_secrets.c.id.desc()))
    ]


async def subscription_row(connection: AsyncConnection, subscription_id: str, *, lock: bool = False) -> Row[Any]:
    """Raises UnknownSubscription."""
    query = select(subscriptions).where(subscriptions.c.id == subscription_id)
    row = None
    if "\0" not in subscription_id:
        row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id[:100]!r}: `tierwise webhook list`.")
    return row


def subscription_document(subscription: Subscription) -> dict[str, Any]:
    """As plain JSON, for the command and the API alike; no secret is in it."""
    described, disabled = subscription.described, subscription.disabled
    return {
        "id": subscription.id,
        "url": described.url,
        "description": described.description,
        "enabled": described.enabled,
        "filters": document_of(described.filters),
        "request": described.request and template_document(described.request),
        "disabled": {"reason": disabled[0], "at": rfc3339(disabled[1])} if disabled else None,
        "paused_until": subscription.paused_until and rfc3339(subscription.paused_until),
        "pending": subscription.pending,
        "created_at": rfc3339(subscription.created_at),
        "secrets": [
            {
                "id": one.id,
                "public_key": one.secret.public_text,
                "created_at": rfc3339(one.created_at),
                "ends_at": one.ends_at and rfc3339(one.ends_at),
            }
            for one in subscription.live
        ],
    }


def filters_of(row: Row[Any]) -> Filters:
    return msgspec.convert(row.filters, Filters)


def described_of(row: Row[Any], vault: Vault) -> Described:
    request = None
    if row.request is not None:
        request = msgspec.json.decode(vault.open(row.request, context=_request_context(row.id)), type=Template)
    return Described(row.url, row.description, row.enabled, filters_of(row), request)


def _columns(described: Described, vault: Vault, subscription_id: str) -> dict[str, Any]:
    request = described.request
    context = _request_context(subscription_id)
    sealed = None if request is None else vault.seal(msgspec.json.encode(request), context=context)
    return described._asdict() | {"filters": document_of(described.filters), "request": sealed}


async def _subscription(connection: AsyncConnection, vault: Vault, row: Row[Any]) -> Subscription:
    waiting = (deliveries.c.subscription_id == row.id) & (deliveries.c.state == "pending")
    return Subscription(
        id=row.id,
        described=described_of(row, vault),
        disabled=(row.disabled_reason, row.disabled_at) if row.disabled_reason else None,
        paused_until=row.paused_until,
        created_at=row.created_at,
        pending=await connection.scalar(select(func.count()).where(waiting)) or 0,
        live=await live_secrets(connection, vault, row.id),
    )


async def _hold_segments(connection: AsyncConnection, filters: Filters) -> None:
    """None of them is deleted before this transaction ends, and then the subscription is seen. Raises
    InvalidSubscription."""
    if not filters.segments:
        return
    query = select(segments.c.name).where(segments.c.name.in_(filters.segments)).order_by(segments.c.id)
    held = set((await connection.execute(query.with_for_update(read=True, key_share=True))).scalars())
    for name in filters.segments:
        if name not in held:
            reason = f"there is no segment {name[:64]!r}: GET /v1/segments lists them, POST /v1/segments makes one"
            raise InvalidSubscription("filters.segments", reason)


async def _add_secret(connection: AsyncConnection, vault: Vault, subscription_id: str) -> str:
    secret = Secret.make()
    sealed = vault.seal(secret.stored, context=_context(subscription_id))
    await connection.execute(insert(subscription_secrets).values(subscription_id=subscription_id, ciphertext=sealed))
    return secret.shared_text


def _context(subscription_id: str) -> bytes:
    return f"subscription:{subscription_id}".encode()


def _request_context(subscription_id: str) -> bytes:
    return f"subscription:{subscription_id}:request".encode()
