"""What the live feed tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class LiveMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("tierwise_live_connections", "Live connections that are open.", registry=registry)
        self.sent = Counter("tierwise_live_events", "Events sent to live connections.", registry=registry)
        self.dropped = Counter(
            "tierwise_live_connections_dropped",
            "Live connections ended because their client was too slow.",
            registry=registry,
        )
