"""Every metric that the services have: as their code declares it, and as the page about operations lists it.

`python -m tests.support.metrics` prints the page's table.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from tierwise.asgi import Receive, Scope, Send
from tierwise.db.engine import engine_of
from tierwise.metrics import PoolCollector, service_registry
from tierwise.observed import Observed
from tierwise_ingest.metrics import IngestMetrics
from tierwise_profile_api.live.metrics import LiveMetrics
from tierwise_scoring.metrics import ScoringMetrics
from tierwise_scoring.webhooks.metrics import WebhookMetrics

_DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


class Described(NamedTuple):
    """`name`: as a query writes it, less `_bucket`, `_sum` and `_count` of a histogram."""

    name: str
    type: str
    labels: Sequence[str]
    text: str

    @property
    def series(self) -> set[str]:
        """The names that queries may use."""
        if self.type == "histogram":
            return {f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count"}
        return {self.name}


def registries() -> dict[str, CollectorRegistry]:
    """By service, made as the services make theirs."""
    found = {service: service_registry(service) for service in ("ingest", "scoring", "profile-api")}
    engine = engine_of("postgresql://nowhere")
    for registry in found.values():
        registry.register(PoolCollector(lambda: engine))
    IngestMetrics(found["ingest"])
    Observed(_nothing, found["ingest"], service="ingest")
    ScoringMetrics(found["scoring"])
    WebhookMetrics(found["scoring"])
    LiveMetrics(found["profile-api"])
    Observed(_nothing, found["profile-api"], service="profile_api")
    return found


def described(registry: CollectorRegistry) -> list[Described]:
    """By name."""
    collectors: set[Collector] = set(registry._collector_to_names)
    return sorted(one for collector in collectors for one in _described(collector))


def documented() -> list[Described]:
    """What the page's tables list."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", _DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return [Described(name, kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows]


def table() -> str:
    shown: list[str] = []
    names: set[str] = set()
    found = registries()
    common = set.intersection(*({one.name for one in described(registry)} for registry in found.values()))
    for service, registry in [("Every service", found["ingest"]), *found.items()]:
        shown.append(f"\n{service}:\n\n| Metric | Type | Labels | What |\n|---|---|---|---|")
        for one in described(registry):
            if one.name not in names and (one.name in common) == (service == "Every service"):
                names.add(one.name)
                labels = ", ".join(f"`{label}`" for label in one.labels)
                shown.append(f"| `{one.name}` | {one.type} | {labels or '-'} | {one.text} |")
    return "\n".join(shown)


def _described(collector: Collector) -> Iterator[Described]:
    if isinstance(collector, MetricWrapperBase):
        kind = str(collector._type)
        suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        labels = ("service", "version") if kind == "info" else tuple(collector._labelnames)
        yield Described(collector._name + suffix, kind, labels, _sentence(collector._documentation))
        return
    for family in collector.collect():
        labels = tuple(sorted({label for sample in family.samples for label in sample.labels}))
        suffix = "_total" if family.type == "counter" else ""
        yield Described(family.name + suffix, family.type, labels, _sentence(family.documentation))


def _sentence(text: str) -> str:
    return text.rstrip(".") + "."


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None: ...


if __name__ == "__main__":
    print(table())
