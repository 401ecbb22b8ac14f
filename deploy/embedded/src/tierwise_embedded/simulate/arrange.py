"""Simulated items cut at a moment, or moved to the present."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

Items = Iterator[dict[str, Any]]

_REPEATS_KEPT: Final = 10_000  # a repeat comes a quarter of an hour later, as a rule


def until(items: Items, end: datetime) -> Items:
    """Those that arrived before the first one that happens at `end` or later."""
    for item in items:
        if datetime.fromisoformat(item["time"]) >= end:
            return
        yield item


def as_if_now(items: Items, start: datetime) -> Items:
    """What happens from `start` on happens at the moment at which it is first taken from here. Its id says when, for in
    another run it happens again; a repeat is the same word for word."""
    taken: dict[str, dict[str, Any]] = {}
    for item in items:
        if datetime.fromisoformat(item["time"]) < start:
            yield item
            continue
        if item["id"] not in taken:
            if len(taken) == _REPEATS_KEPT:
                del taken[next(iter(taken))]
            now = datetime.now(UTC)
            fresh = {"id": f"{item['id']}-{now.timestamp() * 1000:.0f}", "time": now.isoformat(timespec="milliseconds")}
            taken[item["id"]] = item | fresh
        yield taken[item["id"]]
