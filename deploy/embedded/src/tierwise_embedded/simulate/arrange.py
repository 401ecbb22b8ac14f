"""Simulated items cut at a moment, or moved to the present."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

Items = Iterator[dict[str, Any]]


def until(items: Items, end: datetime) -> Items:
    """Those that arrived before the first one that happens at `end` or later."""
    for item in items:
        if datetime.fromisoformat(item["time"]) >= end:
            return
        yield item


def as_if_now(items: Items, start: datetime) -> Items:
    """What happens from `start` on happens at the moment at which it is taken from here."""
    for item in items:
        if datetime.fromisoformat(item["time"]) >= start:
            item = item | {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        yield item
