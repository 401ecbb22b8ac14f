"""The worker: reads micro-batches from the stream and processes each in one transaction.

While the database writes one batch, the next one is read, decoded and folded (`tierwise_scoring.turns`). Batches adapt
to the load by themselves: a read returns what there is, so they are small when the worker keeps up, and full when it is
behind.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise import tracing
from tierwise.db.engine import DATABASE_ERRORS, driver_connection, is_transient
from tierwise.db.months import MonthGone, add_months, day_of, months_needed
from tierwise.db.outbox import CHANNEL
from tierwise.db.rulebooks import Rulebooks
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.port import Partition, PositionLost, Reader, Stream, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_scoring import store
from tierwise_scoring.batch import Batch, decode_slices, traceparents
from tierwise_scoring.carry_out import CarryingOut
from tierwise_scoring.identity import IdentityContended
from tierwise_scoring.lag import Lag
from tierwise_scoring.limit import Limiting
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.poison import RECORD_FAULTS, without_culprits
from tierwise_scoring.positions import end_former, read_positions, reset_positions
from tierwise_scoring.process import Outcome, Scoring, process
from tierwise_scoring.release import Rules
from tierwise_scoring.retract import Retracting
from tierwise_scoring.stages import Stages
from tierwise_scoring.store import PositionTaken
from tierwise_scoring.turns import Turn, TurnLost

log = structlog.get_logger()

GROUP: Final = "tierwise-scoring"
_PAUSE_S: Final = 0.5
_PAUSE_MAX_S: Final = 5.0
_OVERLAPPING: Final = 2


class Worker:
    """One member of the group of workers. `run` until `stop` is called."""

    def __init__(
        self, engine: AsyncEngine, stream: Stream, vault: Vault, settings: Settings, metrics: ScoringMetrics
    ) -> None:
        self._engine, self._stream, self._vault = engine, stream, vault
        self._settings, self._metrics = settings, metrics
        self._rulebooks = Rulebooks()
        self._source_ids: dict[str, int] = {}
        self._batch_ids: dict[str, int] = {}
        self._days: set[int] = set()  # whose months have a partition
        self._epoch = 0  # rises when positions are read again: what was read before that is dropped
        self._committing: deque[asyncio.Task[None]] = deque()  # in the order of the stream, at most _OVERLAPPING
        self._turn: Turn | None = None  # of the last one of them
        self._stopping = asyncio.Event()
        self._rewinding = False
        self._resetting = False
        self._reset: set[Partition] = set()  # still to be started anew, on an operator's word
        self.reader: Reader | None = None
        self.lag = Lag()

    def stop(self) -> None:
        """Let `run` end after the batch that is being processed."""
        self._stopping.set()

    async def run(self, *, reset: bool = False) -> None:
        """Raises LogReplaced, PositionLost unless `reset`, and whatever is a mistake of ours."""
        self._resetting = reset
        if reset:
            self._reset = set(await self._stream.partitions(INTERACTIONS))
        self.reader = await self._stream.reader(
            INTERACTIONS, group=GROUP, assigned=self._assigned, revoked=self._revoked
        )
        try:
            while not self._stopping.is_set():
                await self._step(self.reader)
            await self._committed()
        finally:
            for committing in self._committing:
                committing.cancel()
            await self.reader.close()

    async def _step(self, reader: Reader) -> None:
        while self._committing and self._committing[0].done():
            await self._committed(but=len(self._committing) - 1)
        try:
            if self._rewinding:
                await self._committed()
                await self._rewind(reader)
            epoch = self._epoch  # after that: a batch refused while it was waited for is what is rewound for
            slices = await reader.read(
                max_records=self._settings.scoring_batch_max, max_wait_ms=self._settings.scoring_read_wait_ms
            )
        except PositionLost as error:
            if not self._resetting:
                raise
            await reset_positions(self._engine, {error.partition: error.earliest})
            await reader.seek(error.partition, error.earliest)
            return
        except (StreamUnavailable, *DATABASE_ERRORS) as error:
            if not isinstance(error, StreamUnavailable) and not is_transient(error):
                raise
            log.warning("stream_away", reason=type(error).__name__)
            await asyncio.sleep(_PAUSE_S)
            return
        if not slices:
            return
        batch = decode_slices(slices)
        self.lag.read(batch)
        await self._committed(but=_OVERLAPPING - 1)
        if epoch == self._epoch:
            self._turn = Turn(self._turn if self._committing else None)
            committing = asyncio.create_task(self._commit(batch, epoch, self._turn), name="commit")
            committing.add_done_callback(lambda _: self.lag.ended(batch))
            self._committing.append(committing)
        else:
            self.lag.ended(batch)

    async def _committed(self, *, but: int = 0) -> None:
        """Wait until no more than `but` batches are being processed. Raises what the others raised."""
        while len(self._committing) > but:
            await asyncio.wait({self._committing[0]})
            self._committing.popleft().result()

    async def _assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        if to_reset := self._reset & set(partitions):
            await reset_positions(self._engine, dict.fromkeys(to_reset, 0))
            self._reset -= to_reset
        log.info("partitions_assigned", partitions=[partition.index for partition in partitions])
        if ended := await end_former(self._engine, partitions):
            log.warning("former_workers_ended", sessions=ended)
        return await read_positions(self._engine, partitions)

    async def _revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing of them is under way any more when this returns."""
        self._epoch += 1
        if self._committing:
            await asyncio.wait(self._committing)
        self._rewinding = True  # what was read of other partitions in the same batch was dropped with it
        log.info("partitions_revoked", partitions=[partition.index for partition in partitions])

    async def _rewind(self, reader: Reader) -> None:
        """Read on from the stored positions. Nothing is being read or processed meanwhile."""
        for partition, position in (await read_positions(self._engine, reader.assigned())).items():
            await reader.seek(partition, position)
        self._rewinding = False

    async def _commit(self, batch: Batch, epoch: int, turn: Turn) -> None:
        """Process the batch, trying again while the database is away, until it is in or not ours any more."""
        try:
            await turn.begin()
            await self._tried(batch, epoch, turn)
        finally:
            turn.end()

    async def _tried(self, batch: Batch, epoch: int, turn: Turn) -> None:
        pause_s = _PAUSE_S
        fault: Exception | None = None
        while epoch == self._epoch:
            try:
                if batch.retractions or batch.rulings:
                    await turn.alone()
                if fault is not None:
                    batch, fault = await without_culprits(batch, fault, partial(self._trial, turn)), None
                for retraction in batch.retractions:
                    retracting = Retracting(self._engine, self._rulebooks, self._vault, retraction)
                    self._metrics.retracted.inc(await retracting.run())
                for ruling in batch.rulings:
                    carrying_out = CarryingOut(self._engine, self._rulebooks, self._vault, ruling)
                    self._metrics.erased.inc(await carrying_out.run())
                links = traceparents(batch)
                with self._metrics.batch_seconds.time(), tracing.span("scoring.batch", links=links) as span:
                    outcome = await self._transaction(turn, batch)
                    span.tell({"tierwise.records": len(batch), "tierwise.changes": outcome.changes})
                turn.end()
                self._metrics.count(batch, outcome)
                self.lag.stored(batch)
                for customer in outcome.crowded:
                    await Limiting(self._engine, self._rulebooks, self._vault, customer).run()
                if outcome.conflicting:
                    log.warning("repeats_conflict", by_source=dict(outcome.conflicting))
                return
            except PositionTaken as error:
                log.warning("batch_dropped", reason=str(error))
                self._epoch += 1
                self._rewinding = True
                return
            except MonthGone:
                self._days.clear()
            except TurnLost:
                await turn.alone()
            except (IdentityContended, *DATABASE_ERRORS, *RECORD_FAULTS) as error:
                if isinstance(error, IdentityContended) or is_transient(error):
                    if self._stopping.is_set():
                        return  # read again after the next start
                    log.warning("batch_waits", reason=type(error).__name__)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _PAUSE_MAX_S)
                elif fault is not None:
                    raise  # it is not for the records
                else:
                    fault = error

    async def _trial(self, turn: Turn, batch: Batch) -> None:
        await self._transaction(turn, batch, keep=False)

    async def _transaction(self, turn: Turn, batch: Batch, *, keep: bool = True) -> Outcome:
        stages = Stages()
        await self._know_names(batch)
        await self._know_months(batch)
        with turn.attempt():
            return await self._processed(turn, batch, stages, keep=keep)

    async def _processed(self, turn: Turn, batch: Batch, stages: Stages, *, keep: bool) -> Outcome:
        async with self._engine.connect() as connection, connection.begin() as transaction:
            in_force = await self._rulebooks.hold_in_force(connection)
            rules = Rules(in_force, self._rulebooks, self._vault)
            stages.end("begin")
            with months_needed():
                scoring = Scoring(rules, self._source_ids, self._batch_ids, turn, stages)
                outcome = await process(connection, batch, scoring)
            tx = await driver_connection(connection)
            if not keep:
                await transaction.rollback()
            elif outcome.changes or outcome.dead_letters:
                await tx.execute("SELECT pg_notify($1, $2)", CHANNEL, tracing.traceparent())
        if keep:
            stages.end("commit")
            self._metrics.stages(stages)
        return outcome

    async def _know_names(self, batch: Batch) -> None:
        sources = {one.source for one in batch.interactions} - self._source_ids.keys()
        batches = {one.batch for one in batch.interactions if one.batch is not None} - self._batch_ids.keys()
        if sources or batches:
            async with self._engine.begin() as connection:
                tx = await driver_connection(connection)
                self._source_ids |= await store.source_ids(tx, sources)
                self._batch_ids |= await store.batch_ids(tx, batches)

    async def _know_months(self, batch: Batch) -> None:
        days = {day_of(one.time) for one in batch.interactions} - self._days
        if days:
            async with self._engine.begin() as connection:
                await add_months(await driver_connection(connection), days)
            self._days |= days
