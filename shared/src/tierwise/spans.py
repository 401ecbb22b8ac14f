"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP. Imported only where traces are on."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from typing import Final

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tierwise.asgi import App, Message, Receive, Scope, Send, header
from tierwise.problem import Problem
from tierwise.stream.port import Outgoing
from tierwise.tracing import TRACEPARENT, Attached, Attributes

_LINKS_MAX: Final = 128  # what the SDK keeps of them by default
_propagator = TraceContextTextMapPropagator()


def open_spans(service: str) -> "Spans":
    """Sends in the background; what is left when the process ends is sent then."""
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": f"tierwise-{service}"}
    provider = TracerProvider(resource=Resource.create(named | {"service.version": version("tierwise-shared")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider.get_tracer("tierwise", version("tierwise-shared")))


class Spans:
    """The spans that there are, each current while its block runs."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def traceparent(self) -> str:
        if not trace.get_current_span().get_span_context().trace_flags.sampled:
            return ""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get(TRACEPARENT, "")

    @contextmanager
    def batch(self, name: str, links: Iterable[str]) -> Iterator[Attached]:
        """The root of a trace of its own, linked to those that led to it."""
        contexts = [_context(one) for one in islice(dict.fromkeys(links), _LINKS_MAX)]
        linked = [Link(one) for one in contexts if one.is_valid]
        with self._span(name, SpanKind.CONSUMER, parent=Context(), links=linked) as current:
            yield _Telling(current)

    @contextmanager
    def appending(self, topic: str, records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
        """Yields the records with the span's context in their headers."""
        told: Attributes = {"messaging.destination.name": topic, "messaging.batch.message_count": len(records)}
        with self._span("append", SpanKind.PRODUCER, attributes=told):
            stamp = ((TRACEPARENT, self.traceparent().encode()),)
            if not stamp[0][1]:
                yield records
            else:
                yield [msgspec.structs.replace(one, headers=(*one.headers, *stamp)) for one in records]

    def requests(self, app: App, *, name: str, template: str | None = None) -> App:
        """`app` with a span around each request, which goes on with the trace that its sender is in. `template`: of
        the path; None: what the framework has put into the scope."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            came = header(scope["headers"], TRACEPARENT.encode())
            parent = _propagator.extract({TRACEPARENT: came.decode("latin-1")} if came else {})
            told = {"http.request.method": scope["method"]}
            with self._span(name, SpanKind.SERVER, parent=parent, attributes=told) as current:
                try:
                    await app(scope, receive, _telling(send, current))
                except Problem as problem:  # is answered further out
                    _tell_status(current, problem.status)
                    raise
                finally:
                    current.set_attribute("http.route", template or _route(scope))

        return traced

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: Context | None = None,
        links: Sequence[Link] = (),
        attributes: Attributes | None = None,
    ) -> Iterator[Span]:
        # Errors by their kind only: their texts may quote what somebody sent.
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            links=links,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                yield current
            except Exception as error:
                if not isinstance(error, Problem):
                    current.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


class _Telling(Attached):
    def __init__(self, current: Span) -> None:
        self._current = current

    def tell(self, attributes: Attributes) -> None:
        self._current.set_attributes(dict(attributes))


def _telling(send: Send, current: Span) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            _tell_status(current, message["status"])
        await send(message)

    return sending


def _tell_status(current: Span, status: int) -> None:
    current.set_attribute("http.response.status_code", status)
    if status >= 500:
        current.set_status(Status(StatusCode.ERROR))


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _context(traceparent: str) -> SpanContext:
    found = _propagator.extract({TRACEPARENT: traceparent})
    return trace.get_current_span(found).get_span_context()
