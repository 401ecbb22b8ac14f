"""The courier of one subscription: fills its queue and sends what is due, a few at a time, in rounds."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, is_transient
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import subscriptions
from tierwise.domain.change import rfc3339
from tierwise.security.personal import Vault
from tierwise.webhooks.attempt import Attempt
from tierwise.webhooks.registry import described_of, live_secrets
from tierwise.webhooks.template import Unaddressable, Values
from tierwise_scoring.webhooks.message import event_of, request_of
from tierwise_scoring.webhooks.metrics import WebhookMetrics
from tierwise_scoring.webhooks.outcome import record
from tierwise_scoring.webhooks.queue import CursorTaken, Head, fill, heads
from tierwise_scoring.webhooks.sender import Request, Result, Sender
from tierwise_scoring.webhooks.standing import personal_data_leaves, values_of

log = structlog.get_logger()

AT_ONCE: Final = 16
"""Requests to one endpoint at the same time, each about another customer."""

CONNECTIONS: Final = 3
"""To the database, of all couriers together."""

_RETRY_S: Final = 1.0
_FINISH_S: Final = 2.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Post:
    """What all couriers of a process share. `clock`: of the signatures alone; all else goes by the database's."""

    engine: AsyncEngine
    vault: Vault
    sender: Sender
    metrics: WebhookMetrics
    clock: Callable[[], datetime] = utc_now
    rulebooks: Rulebooks = field(default_factory=Rulebooks)
    draw: random.Random = field(default_factory=random.Random)
    connections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))


class _Round(NamedTuple):
    """`at`: by the database's clock. `more`: whether there was more than a round takes."""

    letters: list[tuple[Head, Request | Unaddressable]]
    at: datetime
    more: bool


class Courier:
    """`wake` says that there may be something to do. `enabled`: whether the subscription was so in the last round."""

    def __init__(self, post: Post, subscription_id: str) -> None:
        self._post, self._id = post, subscription_id
        self.wake, self.enabled = asyncio.Event(), True

    async def run(self) -> None:
        """Until cancelled; goes on after outages of the database."""
        while True:
            self.wake.clear()
            try:
                if not await self._whole_round():
                    await self.wake.wait()
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.warning("webhook_waits", subscription=self._id, reason=type(error).__name__)
                await asyncio.sleep(_RETRY_S)
            except CursorTaken as error:
                log.warning("webhook_waits", subscription=self._id, reason=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _whole_round(self) -> bool:
        """Cancelled, it still tells what became of what was sent, unless an endpoint is slow: that is sent again by
        whoever comes next, and known by its id."""
        under_way = asyncio.ensure_future(self.round())
        try:
            return await asyncio.shield(under_way)
        except asyncio.CancelledError:
            await asyncio.wait([under_way], timeout=_FINISH_S)
            under_way.cancel()
            await asyncio.gather(under_way, return_exceptions=True)
            raise

    async def round(self) -> bool:
        """Send what is due. Returns whether there may be more at once."""
        post = self._post
        async with post.connections, post.engine.begin() as connection:
            prepared = await self._prepare(connection)
        if prepared is not None and prepared.letters:
            results = await asyncio.gather(*(self._sent(letter, prepared.at) for _, letter in prepared.letters))
            made = [(head, result) for (head, _), result in zip(prepared.letters, results, strict=True)]
            async with post.connections, post.engine.begin() as connection:
                await record(connection, self._id, made, draw=post.draw, metrics=post.metrics)
        return prepared is not None and (bool(prepared.letters) or prepared.more)

    async def _prepare(self, connection: AsyncConnection) -> _Round | None:
        """None: the subscription is there no more."""
        query = select(subscriptions, func.now().label("now")).where(subscriptions.c.id == self._id)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        self.enabled = row.enabled
        paused = row.paused_until is not None and row.paused_until > row.now
        more = row.enabled and await fill(connection, row)
        due = await heads(connection, self._id, only_tests=not row.enabled or paused, limit=AT_ONCE)
        letters = await self._written(connection, row, due) if due else []
        return _Round(letters, row.now, more)

    async def _written(
        self, connection: AsyncConnection, row: Row[Any], due: Sequence[Head]
    ) -> list[tuple[Head, Request | Unaddressable]]:
        post, now = self._post, self._post.clock()
        described = described_of(row, post.vault)
        live = [one.secret for one in await live_secrets(connection, post.vault, self._id)]
        letters: list[tuple[Head, Request | Unaddressable]] = []
        for head in due:
            change = head.change
            rulebook = None if change is None else await post.rulebooks.get(connection, change.rulebook_id)
            event = event_of(head, rulebook, self._id)
            values: Values = {}
            if described.request is not None:
                values = await values_of(connection, head, event, post.rulebooks, post.vault)
            try:
                letters.append((head, request_of(head, event, described, live, now, values)))
            except Unaddressable as error:
                letters.append((head, error))
        leaving = [head.change.customer_id for head, one in letters if head.change and isinstance(one, Request)]
        await personal_data_leaves(connection, self._id, described, leaving)
        return letters

    async def _sent(self, letter: Request | Unaddressable, at: datetime) -> Result:
        if isinstance(letter, Unaddressable):
            return Result(Attempt(at=rfc3339(at), ms=0, error=str(letter)), hopeless=True)
        return await self._post.sender.send(letter, at)
