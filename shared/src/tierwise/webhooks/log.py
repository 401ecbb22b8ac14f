"""The log of deliveries, and what people put into the queue: a test, a time range again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.tables import changes, deliveries, subscription_replays
from tierwise.domain.change import event_id_of, rfc3339
from tierwise.webhooks.document import InvalidSubscription
from tierwise.webhooks.registry import subscription_row

State = Literal["pending", "delivered", "failed"]
STATES: Final[tuple[State, ...]] = ("pending", "delivered", "failed")
BEFORE_ALL: Final = (1 << 63) - 1


async def list_deliveries(
    connection: AsyncConnection,
    subscription_id: str,
    *,
    limit: int,
    before: int = BEFORE_ALL,
    state: State | None = None,
) -> Sequence[Row[Any]]:
    """The newest first, those with smaller ids than `before`. Raises UnknownSubscription."""
    row = await subscription_row(connection, subscription_id)
    query = select(deliveries).where(deliveries.c.subscription_id == row.id, deliveries.c.id < before)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    return (await connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit))).all()


async def find_delivery(connection: AsyncConnection, delivery_id: int) -> Row[Any] | None:
    return (await connection.execute(select(deliveries).where(deliveries.c.id == delivery_id))).one_or_none()


async def add_test(connection: AsyncConnection, subscription_id: str) -> Row[Any]:
    """A delivery that is tried once, also where the subscription is disabled. Raises UnknownSubscription."""
    row = await subscription_row(connection, subscription_id)
    made = insert(deliveries).values(subscription_id=row.id, kind="test").returning(deliveries)
    added: Row[Any] = (await connection.execute(made)).one()
    return added


async def add_replay(connection: AsyncConnection, subscription_id: str, since: datetime, until: datetime) -> int:
    """Send again what was recorded in [since, until) and passes the filters. Returns how many changes are looked at.
    Raises UnknownSubscription, InvalidSubscription."""
    if not since < until:
        raise InvalidSubscription("to", "it is later than from")
    row = await subscription_row(connection, subscription_id)
    within = (changes.c.recorded_at >= since) & (changes.c.recorded_at < until)
    found = select(func.min(changes.c.id), func.max(changes.c.id), func.count()).where(within)
    first, last, count = (await connection.execute(found)).one()
    if first is not None:
        bounds = {"after_id": first - 1, "last_id": last}
        await connection.execute(
            insert(subscription_replays).values(subscription_id=row.id, since=since, until=until, **bounds)
        )
    return int(count)


def delivery_document(row: Row[Any]) -> dict[str, Any]:
    """As plain JSON."""
    return {
        "id": str(row.id),
        "event_id": test_id(row.id) if row.customer_id is None else event_id_of(row.customer_id, row.sequence),
        "kind": row.kind,
        "state": row.state,
        "attempts": row.attempts,
        "due": rfc3339(row.due) if row.state == "pending" else None,
        "created_at": rfc3339(row.created_at),
        "finished_at": row.finished_at and rfc3339(row.finished_at),
    }


def test_id(delivery_id: int) -> str:
    """What `webhook-id` says of a test; of a change it is the event's id."""
    return f"test_{delivery_id}"
