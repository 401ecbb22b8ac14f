"""What the documentation of a format's route shows is taken by the format."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.webhooks import items, requested, terms
from tierwise.domain.claim import Admitted
from tierwise_ingest.formats.cloudevents.format import CLOUDEVENTS
from tierwise_ingest.formats.format import Format, Route
from tierwise_ingest.formats.mapped import MAPPED
from tierwise_ingest.formats.sensors.format import SENSORS
from tierwise_ingest.formats.twilio import TWILIO

MAPPING = """
interactions:
  - id: {path: $.call.id}
    time: {path: $.call.at, as: time}
    channel: call
    type: completed
    identifiers: {phone: {path: $.call.from}}
"""
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "com.example.order.purchase"}
SHOWN = [
    (format_, route, media_type, content["example"])
    for format_ in (SENSORS, CLOUDEVENTS, TWILIO, *MAPPED)
    for route in format_.routes
    for media_type, content in route.document.get("requestBody", {}).get("content", {}).items()
    if "example" in content
]


@pytest.mark.parametrize(("format_", "route", "media_type", "example"), SHOWN)
def test_the_example_is_taken(format_: Format, route: Route, media_type: str, example: Any) -> None:
    body = urlencode(example).encode() if media_type.endswith("urlencoded") else example
    headers = BINARY if (format_, media_type) == (CLOUDEVENTS, "application/json") else None
    request = requested(route.path, body, media_type=media_type, method=route.method, headers=headers)
    (item,) = items(format_, request, terms(mapping=MAPPING))
    assert isinstance(item, Admitted), item


def test_each_of_these_formats_shows_an_example() -> None:
    assert {format_.name for format_, *_ in SHOWN} == {"sensors", "cloudevents", "twilio", "mapped", "mapped_signed"}
