"""Items to ingest over HTTP: batches, gzip, pace, and patience with a service that is away."""

import asyncio
import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from typing import Any

import httpx
import msgspec

BATCH_MAX = 500
IN_FLIGHT_MAX = 4
PATIENCE_S = 60.0
_REASONS_KEPT = 5
_encode = msgspec.json.Encoder().encode


class NotTaken(Exception):  # noqa: N818
    """Ingest cannot be reached or refuses the key; the message says what to do."""


@dataclass(slots=True)
class Sent:
    """So far. `reasons`: the first few of what was rejected. `last`: the item sent last."""

    accepted: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    last: dict[str, Any] | None = None


async def send(
    items: Iterable[dict[str, Any]],
    *,
    url: str,
    key: str,
    rate: float | None = None,
    patience_s: float = PATIENCE_S,
    progressed: Callable[[Sent], None] = lambda sent: None,
) -> Sent:
    """Send all items, `rate` a second (None: as fast as they are taken). Raises NotTaken, for an
    ingest that is away after `patience_s`."""
    sent = Sent()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Content-Encoding": "gzip"}
    slots = asyncio.Semaphore(IN_FLIGHT_MAX)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:

        async def deliver(batch: list[dict[str, Any]]) -> None:
            try:
                _count(await _post(client, batch, patience_s), len(batch), sent)
                sent.last = batch[-1]
                progressed(sent)
            finally:
                slots.release()

        try:
            async with asyncio.TaskGroup() as tasks:
                began, due = monotonic(), 0.0
                for batch in _batches(iter(items), rate):
                    await slots.acquire()
                    tasks.create_task(deliver(batch))
                    if rate is not None:
                        due += len(batch) / rate
                        await asyncio.sleep(max(began + due - monotonic(), 0))
        except* NotTaken as group:
            raise group.exceptions[0] from None
    return sent


def _batches(items: Iterator[dict[str, Any]], rate: float | None) -> Iterator[list[dict[str, Any]]]:
    # A quarter of a second's worth at a time, so that a slow pace is an even one.
    size = BATCH_MAX if rate is None else max(1, min(BATCH_MAX, int(rate / 4)))
    while batch := list(islice(items, size)):
        yield batch


async def _post(client: httpx.AsyncClient, batch: list[dict[str, Any]], patience_s: float) -> httpx.Response:
    body = await asyncio.to_thread(gzip.compress, _encode(batch), 1)
    give_up_at = monotonic() + patience_s
    pause_s = 0.2
    while True:
        try:
            response = await client.post("/v1/interactions", content=body)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        else:
            if response.status_code in (401, 403):
                raise NotTaken(f"ingest refuses the key: {_detail(response)} (make one with `tierwise key create`)")
            if response.status_code not in (429, 503):
                return response
            reason = _detail(response)
            pause_s = max(pause_s, _retry_after_s(response))
        if monotonic() + pause_s > give_up_at:
            raise NotTaken(f"ingest at {client.base_url} takes nothing: {reason}. Is `tierwise up` running?")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


def _count(response: httpx.Response, size: int, sent: Sent) -> None:
    if response.status_code not in (202, 400):
        raise NotTaken(f"ingest answered {response.status_code}: {_detail(response)}")
    answer = response.json()
    results = answer.get("results", [])
    if response.status_code == 400 and not results:
        raise NotTaken(f"ingest answered 400: {_detail(response)}")
    sent.accepted += answer.get("accepted", 0)
    sent.rejected += answer.get("rejected", size if response.status_code == 400 else 0)
    for result in results[: _REASONS_KEPT - len(sent.reasons)]:
        sent.reasons.append(f"{result.get('field')}: {result.get('detail')} ({result.get('code')})")


def _detail(response: httpx.Response) -> str:
    if "json" in response.headers.get("content-type", ""):
        return str(response.json().get("detail", response.reason_phrase))
    return response.reason_phrase


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0
