"""What every service tells Prometheus: its process, its version, its connections to the database."""

import os
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Info, Metric, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from tierwise.problem import Unavailable
from tierwise.siblings import DIRECTORY, SiblingsRegistry


def service_registry(service: str) -> CollectorRegistry:
    """Of one application, with its process and version; of all processes that share its port."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, of use to nobody
    siblings = os.environ.get(DIRECTORY)
    registry = CollectorRegistry() if siblings is None else SiblingsRegistry(Path(siblings))
    ProcessCollector(registry=registry)
    Info("tierwise_build", "What runs here.", registry=registry).info(
        {"service": service, "version": version("tierwise-shared")}
    )
    if isinstance(registry, SiblingsRegistry):
        registry.tell()
    return registry


class PoolCollector(Collector):
    """The connections of an engine, looked at when asked for. `engine` raises Unavailable while there is none."""

    def __init__(self, engine: Callable[[], AsyncEngine]) -> None:
        self._engine = engine

    def describe(self) -> Iterable[Metric]:
        return _families()

    def collect(self) -> Iterator[Metric]:
        connections, limit = _families()
        try:
            pool = self._engine().pool
        except Unavailable:
            return
        if isinstance(pool, QueuePool):
            connections.add_metric(["in_use"], pool.checkedout())
            connections.add_metric(["idle"], pool.checkedin())
            limit.add_metric([], pool.size())
            yield connections
            yield limit


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("tierwise_database_connections", "Connections to the database.", labels=["state"]),
        GaugeMetricFamily("tierwise_database_connections_max", "As many may be open at once."),
    )
