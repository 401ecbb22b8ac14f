"""Accepting: what was read is appended to the stream, and only then said to be accepted."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from tierwise.domain.claim import Admitted
from tierwise.domain.interaction import strongest
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source
from tierwise.problem import Unavailable
from tierwise.security.personal import Vault
from tierwise.stream.port import RECORD_BYTES_MAX, Outgoing, Stream, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.formats.format import Ignored, Item
from tierwise_ingest.metrics import IngestMetrics
from tierwise_ingest.outcome import LeftOut, Outcome, Rejection
from tierwise_ingest.rate import Rates

Keep = Callable[[Sequence[Rejection]], bytes]
"""The record that a request becomes of which these items could not be mapped."""

_ENCODED_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_000  # leaves room for key and headers
_NEVER_KEPT: Final = frozenset({"no_consent"})
"""Codes of what is refused in order not to be stored."""

log = structlog.get_logger("tierwise.ingest")


class Pending:
    """Bytes that wait for the stream, bounded: a stream that is slow is felt by senders, not by our memory."""

    def __init__(self, metrics: IngestMetrics, *, bytes_max: int) -> None:
        self._bytes = 0
        self._bytes_max = bytes_max
        self._metrics = metrics
        metrics.pending_bytes.set_function(lambda: self._bytes)

    def hold(self, size: int) -> None:
        """Raises Unavailable when there is no room; one request alone always has it. What is held is to be let go."""
        if self._bytes and self._bytes + size > self._bytes_max:
            self._metrics.append_failures.labels("backlog").inc()
            raise Unavailable("The stream is slower than what comes in; nothing of this request was taken.")
        self._bytes += size

    def let_go(self, size: int) -> None:
        self._bytes -= size


class Acceptor:
    """Appends to the stream for all requests. `timeout_s`: what takes longer is answered with Unavailable."""

    def __init__(
        self, stream: Stream, vault: Vault, metrics: IngestMetrics, pending: Pending, rates: Rates, *, timeout_s: float
    ) -> None:
        self._stream = stream
        self._vault = vault
        self._metrics = metrics
        self._pending = pending
        self._rates = rates
        self._timeout_s = timeout_s

    async def accept(self, items: Iterable[Item], source: Source, *, keep: Keep | None = None) -> Outcome:
        """Append what is admitted and return when it is durable, all of it.

        Raises Unavailable when any may not be durable, TooManyRequests: the whole request can be repeated then.
        """
        records: list[Outgoing] = []
        rejections: list[Rejection] = []
        unrecognisable: list[int] = []
        left_out: list[LeftOut] = []
        ignored = 0
        identifier_hash = self._vault.identifier_hash
        for index, item in enumerate(items):
            if isinstance(item, Admitted) and len(item.encoded) > _ENCODED_BYTES_MAX:
                item = InvalidInteraction("too_large", None, "Written out it is larger than the stream takes")
            if isinstance(item, InvalidInteraction):
                rejections.append(Rejection(index=index, code=item.code, field=item.field, detail=item.detail))
                continue
            if isinstance(item, Ignored):
                ignored += 1
                self._metrics.ignored.labels(source.name, item.reason).inc()
                continue
            interaction, encoded, recognisable, names = item
            records.append(Outgoing(identifier_hash(*strongest(interaction.identifiers)), encoded))
            if not recognisable:
                unrecognisable.append(index)
            if names:
                left_out.append(LeftOut(index=index, fields=names))
        accepted = len(records)
        if rejections and keep is not None:
            records += self._kept(rejections, keep, source)
        if records:
            self._rates.take(source, len(records), time.monotonic())
            await self._append(records)
            self._metrics.accepted_of(source.name).inc(accepted)
        if left_out:
            self._metrics.left_out.labels(source.name).inc(len(left_out))
        for rejection in rejections:
            self._metrics.rejected.labels(source.name, rejection.code).inc()
        kept = len(records) > accepted
        if kept:
            self._metrics.unmapped.labels(source.name, rejections[0].code).inc()
        return Outcome(
            accepted=accepted,
            ignored=ignored,
            kept=kept,
            rejections=rejections,
            unrecognisable=unrecognisable,
            left_out=left_out,
        )

    def _kept(self, rejections: Sequence[Rejection], keep: Keep, source: Source) -> list[Outgoing]:
        """The record that the request becomes, if it may become one."""
        unmapped = [one for one in rejections if one.code not in _NEVER_KEPT]
        if not unmapped:
            return []
        record = keep(unmapped)
        if len(record) > _ENCODED_BYTES_MAX:
            log.warning("unmapped_not_kept", source=source.name, bytes=len(record), reason=unmapped[0].code)
            return []
        return [Outgoing(self._vault.identifier_hash("source", source.name), record)]

    async def _append(self, records: Sequence[Outgoing]) -> None:
        started = time.perf_counter()
        size = sum([len(record.value) for record in records])
        self._pending.hold(size)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._stream.append(INTERACTIONS, records)
        except TimeoutError as error:
            self._metrics.append_failures.labels("timeout").inc()
            raise Unavailable("The stream is slow; repeating the request is safe.") from error
        except StreamUnavailable as error:
            self._metrics.append_failures.labels("unavailable").inc()
            raise Unavailable("The stream is away; repeating the request is safe.") from error
        finally:
            self._pending.let_go(size)
        self._metrics.append_seconds.observe(time.perf_counter() - started)
