"""Whether work is traced, and the tracer that everybody uses then.

OpenTelemetry's own variables say so: traces are on where `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`, or
`OTEL_TRACES_EXPORTER=otlp`) is set, and not `OTEL_SDK_DISABLED`. The others (sampler, headers, limits, attributes) are
the SDK's. Off, the SDK is not even imported.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final

from tierwise.problem import Problem

if TYPE_CHECKING:
    from tierwise.spans import Spans

TRACEPARENT: Final = "traceparent"
"""The header of requests and records (W3C Trace Context)."""

Attributes = Mapping[str, str | int | float]
"""Of a span; never of a person."""

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"

_spans: "Spans | None" = None


class TracingRefused(Problem):
    status, code, title = 400, "tracing_refused", "Traces cannot be sent as the environment asks"


def is_asked_for(environment: Mapping[str, str] = os.environ) -> bool:
    """Raises TracingRefused for an exporter or a protocol that is not there."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter == "none" or not (exporter or any(environment.get(name) for name in _ENDPOINTS)):
        return False
    if exporter not in ("", "otlp"):
        raise TracingRefused(f"OTEL_TRACES_EXPORTER: {exporter} is not there; set otlp or none.")
    for name in _PROTOCOLS:
        if environment.get(name, _PROTOCOL) != _PROTOCOL:
            raise TracingRefused(f"{name}: {environment[name]} is not there; set {_PROTOCOL}, or leave it out.")
    return True


def configure_tracing(service: str) -> None:
    """For the whole process, once. `service`: the name of it unless OTEL_SERVICE_NAME says another. Raises
    TracingRefused."""
    global _spans
    if is_asked_for():
        from tierwise.spans import open_spans

        _spans = open_spans(service)


def spans() -> "Spans | None":
    """None where nothing is traced."""
    return _spans


def span(name: str, *, links: Iterable[str] = ()) -> "AbstractContextManager[Attached]":
    """A span around work that is done in batches. `links`: traceparents of what led to it."""
    return _untraced() if _spans is None else _spans.batch(name, links)


def traceparent() -> str:
    """Of the span that is current, as in W3C's header; empty where there is none or nobody samples it."""
    return "" if _spans is None else _spans.traceparent()


class Attached:
    """Takes what is told of a span's work; this one forgets it."""

    def tell(self, attributes: Attributes) -> None: ...


@contextmanager
def _untraced() -> Iterator[Attached]:
    yield Attached()
