"""The scoring service: worker, relay, webhooks, sweeper, the release's pass, the taking of cuts and the upkeep, with
the health routes beside."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.asgi import health_app
from tierwise.db import migrate
from tierwise.db.engine import open_engine
from tierwise.db.rulebooks import Rulebooks
from tierwise.metrics import PoolCollector, service_registry
from tierwise.opening import Opening
from tierwise.readiness import database_check, migrations_check, stream_check
from tierwise.security.personal import Vault, open_vault
from tierwise.serving import serve as serve_app
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Partition, Stream, StreamUnavailable
from tierwise_scoring.backlogs import tell_backlogs
from tierwise_scoring.maintain import maintain
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.outboxes import ChangesOutbox, DeadLettersOutbox
from tierwise_scoring.relay import Relay
from tierwise_scoring.releaser import Releaser
from tierwise_scoring.retention import Retention
from tierwise_scoring.segment_pass import SegmentPasses
from tierwise_scoring.sweep import Sweeper
from tierwise_scoring.taker import Taker
from tierwise_scoring.webhooks.service import send_webhooks
from tierwise_scoring.worker import Worker

log = structlog.get_logger()

# Worker (2), relay, sweeper, release (2), segments, cuts (2), upkeep, retention, backlogs, readiness, the stream's own,
# webhooks (1 + 3).
_CONNECTIONS: Final = 19
_OPENING_POLL_S: Final = 0.1
_LAG_EVERY_S: Final = 5.0
_HANGS_AFTER_S: Final = 30  # a transaction asks the database for something every few milliseconds


class _Opened(NamedTuple):
    vault: Vault
    stream: Stream


async def serve(settings: Settings, *, reset: bool = False) -> None:
    """Score until cancelled, then end the batch under way. `reset`: start at the beginning of a log that was never
    scored. Raises LogReplaced, PositionLost, VaultError, and whatever else repeating would not mend."""
    registry = service_registry("scoring")
    metrics = ScoringMetrics(registry)
    async with open_engine(settings, pool_size=_CONNECTIONS, hangs_after_s=_HANGS_AFTER_S) as engine:
        registry.register(PoolCollector(lambda: engine))
        opening = Opening(partial(_open, engine, settings))
        checks = {
            "database": database_check(lambda: engine),
            "migrations": migrations_check(lambda: engine),
            "stream": stream_check(lambda: opening.value.stream),
        }
        async with opening, _tasks() as group:
            health = health_app(checks, registry)
            group.create_task(serve_app(health, host=settings.scoring_host, port=_port(settings)))
            opened = await _when_open(opening)
            relay = Relay(engine, opened.stream, [ChangesOutbox(), DeadLettersOutbox(opened.vault)], metrics.published)
            worker = Worker(engine, opened.stream, opened.vault, settings, metrics)
            for work in (
                relay.run(),
                Sweeper(engine, Rulebooks(), metrics, opened.vault).run(),
                Releaser(engine, opened.vault, Rulebooks(), metrics).run(),
                SegmentPasses(engine, Rulebooks()).run(),
                Taker(engine, opened.stream, opened.vault, Rulebooks()).run(),
                maintain(engine, opened.stream, settings),
                Retention(engine, Rulebooks(), opened.vault, settings.interactions_retention_days).run(),
                send_webhooks(engine, opened.vault, settings, registry),
                _tell_lag(worker, metrics),
                tell_backlogs(engine, metrics.backlogs),
                work_until_cancelled(worker, reset=reset),
            ):
                group.create_task(lasting(work))


@asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the error of its first task as it is: the others were only cancelled for it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as error:
        raise error.exceptions[0] from None


@asynccontextmanager
async def _open(engine: AsyncEngine, settings: Settings) -> AsyncIterator[_Opened]:
    await migrate.check(engine)
    vault = await open_vault(engine, settings)
    async with open_stream(settings, engine, vault) as stream:
        yield _Opened(vault, stream)


async def _when_open(opening: Opening[_Opened]) -> _Opened:
    while opening.reason is not None:  # noqa: ASYNC110  (it has no event: a service looks when it is asked)
        await asyncio.sleep(_OPENING_POLL_S)
    return opening.value


class Ended(Exception):  # noqa: N818
    """A part of the service that lasts as long as the service has ended by itself: a mistake of ours."""


async def lasting(work: Coroutine[Any, Any, None]) -> None:
    """Until this is cancelled. A task group would take a task that was cancelled from inside, or that just returned,
    for one that is done, and the service would go on without it. Raises Ended."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    raise Ended(f"{getattr(work, '__qualname__', work)} has ended by itself")


async def work_until_cancelled(worker: Worker, *, reset: bool) -> None:
    """The batch under way is ended before this is: cancelling it would only mean to do it again."""
    running = asyncio.create_task(worker.run(reset=reset))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        if running.done():
            raise
        worker.stop()
        await running
        raise


async def _tell_lag(worker: Worker, metrics: ScoringMetrics) -> None:
    unread: Mapping[Partition, int] = {}
    while True:
        await asyncio.sleep(_LAG_EVERY_S)
        if worker.reader is None:
            continue
        with suppress(StreamUnavailable):  # then what was unread before waits longer and longer
            unread = await worker.reader.lag()
        metrics.behind(worker.lag.behind(unread))


def _port(settings: Settings) -> int:
    """The configured port; where that is only the default, and another worker on this machine has it, any."""
    if "scoring_port" in settings.model_fields_set:
        return settings.scoring_port
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((settings.scoring_host, settings.scoring_port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            attempt.bind((settings.scoring_host, 0))
        port: int = attempt.getsockname()[1]
    log.info("scoring_serves_health", port=port)
    return port
