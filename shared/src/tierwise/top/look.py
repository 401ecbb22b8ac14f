"""What services say of themselves at one moment, and how that differs from a moment before."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tierwise.problem import Problem

SERVICES: Final = ("ingest", "scoring", "profile-api")
TIMEOUT_S: Final = 2.0


class NotMetrics(Problem):
    status, code, title = 400, "not_metrics", "This address has no metrics"


class Told(NamedTuple):
    """By one process: its samples by name; None where it was not reached."""

    service: str
    url: str
    samples: Mapping[str, Sequence[Sample]] | None


class Look:
    """At all processes at once. Values that nobody tells count as 0."""

    def __init__(self, told: Sequence[Told], at_s: float) -> None:
        self.told, self.at_s = told, at_s

    def samples(self, name: str) -> Iterator[Sample]:
        for one in self.told:
            if one.samples is not None:
                yield from one.samples.get(name, ())

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Sums by the values of these labels."""
        found: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for sample in self.samples(name):
            found[tuple(sample.labels.get(label, "") for label in labels)] += sample.value
        return dict(found)

    def largest(self, name: str) -> float:
        return max((sample.value for sample in self.samples(name)), default=0.0)


class Between(NamedTuple):
    """Two looks, the earlier one first."""

    before: Look
    now: Look

    @property
    def seconds(self) -> float:
        return max(self.now.at_s - self.before.at_s, 0.001)

    def rates(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Of a counter, in 1/s, where it moved. A counter that begins anew is one of a process that was restarted."""
        before, now = self.before.by(name, *labels), self.now.by(name, *labels)
        moved = {key: value - before.get(key, 0.0) for key, value in now.items()}
        return {key: value / self.seconds for key, value in moved.items() if value > 0}

    def rate(self, name: str, holds: Callable[[Mapping[str, str]], bool] = lambda _: True) -> float:
        """Of all series of a counter whose labels pass."""
        before, now = (sum(sample.value for sample in look.samples(name) if holds(sample.labels)) for look in self)
        return max(0.0, now - before) / self.seconds

    def quantile(self, histogram: str, share: float) -> float | None:
        """The upper end of the bucket that holds it; None where nothing was observed between the two."""
        counts = self.rates(f"{histogram}_bucket", "le")
        ends = sorted((float(end), count) for (end,), count in counts.items())
        if not ends:
            return None
        return next(end for end, count in ends if count >= share * ends[-1][1])


async def look(urls: Mapping[str, Sequence[str]]) -> Look:
    """`urls`: of each service's processes. Raises NotMetrics."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        asked = [_told(client, service, url) for service in SERVICES for url in urls.get(service, ())]
        told = await asyncio.gather(*asked)
        return Look(told, time.monotonic())


async def _told(client: httpx.AsyncClient, service: str, url: str) -> Told:
    try:
        response = await client.get(f"{url.rstrip('/')}/metrics")
        response.raise_for_status()
    except httpx.HTTPError:
        return Told(service, url, None)
    except httpx.InvalidURL as error:
        raise NotMetrics(f"{url}: {error}. Give it as http://127.0.0.1:8001.") from error
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    try:
        for family in text_string_to_metric_families(response.text):
            for sample in family.samples:
                samples[sample.name].append(sample)
    except ValueError as error:
        raise NotMetrics(f"{url}: what answers there is not Tierwise.") from error
    return Told(service, url, samples)
