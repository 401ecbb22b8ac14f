"""Traces go over the stream in the headers of its records, whatever the stream."""

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from tierwise.spans import Spans
from tierwise.stream.port import Outgoing, Partition, Record, Stream
from tierwise.stream.traced import TracedStream


def spans_of(sampler: Sampler) -> tuple[Spans, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider.get_tracer("tests")), exporter


async def read(stream: Stream, topic: str, count: int) -> list[Record]:
    async def from_the_start(partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    async def let_go(partitions: Sequence[Partition]) -> None: ...

    reader = await stream.reader(topic, group=topic, assigned=from_the_start, revoked=let_go)
    found: list[Record] = []
    while len(found) < count:
        for part in await reader.read(max_records=count, max_wait_ms=1_000):
            found += part.records
    await reader.close()
    return found


async def test_records_carry_the_context_of_their_append_beside_their_own_headers(stream: Stream, topic: str) -> None:
    spans, exporter = spans_of(ALWAYS_ON)
    records = [Outgoing(b"k1", b"v1", headers=(("ce_id", b"1"),)), Outgoing(b"k2", b"v2")]
    await TracedStream(stream, spans).append(topic, records)

    (append,) = exporter.get_finished_spans()
    assert append.name == "append"
    assert append.context is not None
    trace_id, span_id, flags = append.context.trace_id, append.context.span_id, append.context.trace_flags
    expected = f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}".encode()
    found = {record.value: dict(record.headers) for record in await read(stream, topic, 2)}
    assert found == {b"v1": {"ce_id": b"1", "traceparent": expected}, b"v2": {"traceparent": expected}}


async def test_records_of_what_is_not_sampled_stay_as_they_are(stream: Stream, topic: str) -> None:
    spans, exporter = spans_of(ALWAYS_OFF)
    await TracedStream(stream, spans).append(topic, [Outgoing(b"k", b"v")])
    assert [tuple(record.headers) for record in await read(stream, topic, 1)] == [()]
    assert exporter.get_finished_spans() == ()
