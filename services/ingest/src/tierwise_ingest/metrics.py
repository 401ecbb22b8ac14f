"""What ingest counts. One set for each application, in a registry of its own."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tierwise.asgi import SECONDS_BUCKETS


class IngestMetrics:
    """Labels are sources and codes, of which there are few; never ids, keys or types that senders choose."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.accepted = Counter(
            "tierwise_ingest_interactions_accepted",
            "Interactions that the stream has.",
            ("source",),
            registry=registry,
        )
        self.accepted_of = cache(self.accepted.labels)  # 1.5 us, once a request
        self.rejected = Counter(
            "tierwise_ingest_interactions_rejected",
            "Interactions that were refused, by code.",
            ("source", "code"),
            registry=registry,
        )
        self.ignored = Counter(
            "tierwise_ingest_items_ignored",
            "Items that are understood and are no interactions, by why.",
            ("source", "reason"),
            registry=registry,
        )
        self.unmapped = Counter(
            "tierwise_ingest_unmapped_requests",
            "Requests of webhooks that went to the dead letters because not all in them could be mapped, by why.",
            ("source", "reason"),
            registry=registry,
        )
        self.violations = Counter(
            "tierwise_ingest_schema_violations",
            "Interactions that were taken although they violate the schema of their source.",
            ("source",),
            registry=registry,
        )
        self.left_out = Counter(
            "tierwise_ingest_interactions_left_out",
            "Interactions of which something was not taken, as identifiers that their source may not assert.",
            ("source",),
            registry=registry,
        )
        self.append_seconds = Histogram(
            "tierwise_ingest_append_seconds",
            "From handing a request's interactions to the stream to their being durable.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.append_failures = Counter(
            "tierwise_ingest_append_failures",
            "Requests answered with 503 because of the stream.",
            ("reason",),
            registry=registry,
        )
        self.pending_bytes = Gauge(
            "tierwise_ingest_pending_bytes", "Interactions waiting for the stream, encoded.", registry=registry
        )
