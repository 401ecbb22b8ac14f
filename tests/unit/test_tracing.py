"""Whether work is traced, by OpenTelemetry's own variables; and that nothing is, and nothing loaded, without them."""

import subprocess
import sys

import pytest

from tierwise import tracing
from tierwise.tracing import TracingRefused, is_asked_for

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_on"}, False),
    ],
)
def test_traces_are_on_where_the_environment_says_where_to(environment: dict[str, str], asked: bool) -> None:
    assert is_asked_for(environment) is asked


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(environment: dict[str, str], named: str) -> None:
    with pytest.raises(TracingRefused, match=named):
        is_asked_for(environment)


def test_off_spans_take_what_they_are_told_and_are_nobodys_parent() -> None:
    with tracing.span("scoring.batch", links=["never looked at"]) as span:
        span.tell({"tierwise.records": 1})
        assert tracing.traceparent() == ""
    assert tracing.spans() is None


def test_off_the_sdk_is_not_even_loaded() -> None:
    services = "tierwise_ingest.app, tierwise_scoring.service"
    code = f"import sys, {services}; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
