"""What attempts mean for their deliveries and their subscription, written in one transaction."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import driver_connection
from tierwise_scoring.webhooks.metrics import WebhookMetrics
from tierwise_scoring.webhooks.queue import Head
from tierwise_scoring.webhooks.schedule import RETRY_AFTER_MAX, next_attempt
from tierwise_scoring.webhooks.sender import Result

log = structlog.get_logger()

GONE: Final = "gone"
EXHAUSTED: Final = "exhausted"
_SLOWER: Final = (429, 503)


class _Verdict(NamedTuple):
    """`state` and `due` of a delivery after an attempt; `outcome`: for the metrics."""

    state: str
    due: datetime
    outcome: str


async def record(
    connection: AsyncConnection,
    subscription_id: str,
    made: Sequence[tuple[Head, Result]],
    *,
    draw: random.Random,
    metrics: WebhookMetrics,
) -> None:
    """An attempt that another process has recorded meanwhile is left out."""
    raw = await driver_connection(connection)
    # Locked first, as whoever changes it does: else the two could wait for each other.
    now = await raw.fetchval("SELECT now() FROM subscriptions WHERE id = $1 FOR NO KEY UPDATE", subscription_id)
    if now is None:
        return
    verdicts = [_verdict(head, result, now, draw) for head, result in made]
    reason = await _disabling(raw, subscription_id, made, verdicts)
    if reason == EXHAUSTED:  # nothing is given up: what waits goes on when it is enabled again
        verdicts = [one._replace(state="pending") if one.outcome == "given_up" else one for one in verdicts]
    await raw.executemany(
        """UPDATE deliveries
           SET state = $3, due = $4, attempt = attempt + 1, attempts = attempts || $5::text::jsonb,
               finished_at = CASE WHEN $3 = 'pending' THEN NULL ELSE $6::timestamptz END
           WHERE id = $1 AND attempt = $2 AND state = 'pending'""",
        [
            (head.id, head.attempt, verdict.state, verdict.due, msgspec.json.encode(result.attempt).decode(), now)
            for (head, result), verdict in zip(made, verdicts, strict=True)
        ],
    )
    if reason is not None:
        await _disable(raw, subscription_id, reason, now, metrics)
    await _pause(raw, subscription_id, [result for _, result in made], now)
    for (_, result), verdict in zip(made, verdicts, strict=True):
        metrics.attempts.labels(verdict.outcome).inc()
        metrics.seconds.observe(result.attempt.ms / 1000)


def _verdict(head: Head, result: Result, now: datetime, draw: random.Random) -> _Verdict:
    if result.delivered:
        return _Verdict("delivered", now, "delivered")
    if head.kind == "test":
        return _Verdict("failed", now, "test_failed")
    if result.hopeless:
        return _Verdict("failed", now, "unaddressable")
    if result.gone:
        return _Verdict("pending", now, GONE)
    due = next_attempt(head.attempt + 1, now, draw, result.retry_after)
    return _Verdict("failed", now, "given_up") if due is None else _Verdict("pending", due, "to_be_repeated")


async def _disabling(
    raw: asyncpg.Connection,
    subscription_id: str,
    made: Sequence[tuple[Head, Result]],
    verdicts: Sequence[_Verdict],
) -> str | None:
    """Why the subscription is disabled now; None: it is not. One event that an endpoint never takes is given up; one
    that takes nothing else either is disabled."""
    if any(verdict.outcome == GONE for verdict in verdicts):
        return GONE
    given_up = [head for (head, _), verdict in zip(made, verdicts, strict=True) if verdict.outcome == "given_up"]
    if not given_up or any(verdict.outcome == "delivered" for verdict in verdicts):
        return None
    taken = await raw.fetchval(
        """SELECT true FROM deliveries WHERE subscription_id = $1 AND state = 'delivered' AND kind <> 'test'
           AND finished_at >= (SELECT min((attempts->0->>'at')::timestamptz) FROM deliveries WHERE id = ANY ($2))
           LIMIT 1""",
        subscription_id,
        [head.id for head in given_up],
    )
    return None if taken else EXHAUSTED


async def _disable(
    raw: asyncpg.Connection, subscription_id: str, reason: str, now: datetime, metrics: WebhookMetrics
) -> None:
    disabled = await raw.fetchval(
        """UPDATE subscriptions SET enabled = false, disabled_reason = $2, disabled_at = $3
           WHERE id = $1 AND enabled RETURNING true""",
        subscription_id,
        reason,
        now,
    )
    if disabled:
        log.warning("webhook_disabled", subscription=subscription_id, reason=reason)
        metrics.disabled.labels(reason).inc()


async def _pause(raw: asyncpg.Connection, subscription_id: str, results: Sequence[Result], now: datetime) -> None:
    asked = [one.retry_after for one in results if one.retry_after and one.attempt.status in _SLOWER]
    if asked:
        until = now + min(max(asked), RETRY_AFTER_MAX)
        await raw.execute("UPDATE subscriptions SET paused_until = $2 WHERE id = $1", subscription_id, until)
