"""What a scoring worker tells Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tierwise_scoring.batch import Batch
from tierwise_scoring.process import Outcome

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ScoringMetrics:
    """Of one worker, in its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"tierwise_scoring_{name}", text, registry=registry)

        self.interactions = counter("interactions", "Interactions that were folded into customers")
        self.duplicates = counter("duplicates", "Interactions that were there already")
        self.conflicting_repeats = Counter(
            "tierwise_scoring_conflicting_repeats",
            "Interactions that repeat a known id with another content; the first one stands",
            ["source"],
            registry=registry,
        )
        self.retracted = counter("retracted", "Interactions taken back with the import that they came with")
        self.dead_letters = counter("dead_letters", "Records that could not be used")
        self.merges = counter("merges", "Customers merged into another one")
        self.changes = counter("changes", "Changes of tier, intent, lifecycle or tags")
        self.reviews = counter("reviews", "Customers classified again because time passed")
        self.released = counter("released", "Customers classified again by the release of a rulebook")
        self.batch_seconds = Histogram(
            "tierwise_scoring_batch_seconds", "From a decoded batch to its commit", registry=registry, buckets=_SECONDS
        )
        self.freshness_seconds = Histogram(
            "tierwise_scoring_freshness_seconds",
            "From the arrival of a batch's oldest interaction to its commit",
            registry=registry,
            buckets=_SECONDS,
        )
        self.lag = Gauge("tierwise_scoring_lag_records", "Records not scored yet", ["partition"], registry=registry)

    def count(self, batch: Batch, outcome: Outcome) -> None:
        """After the commit."""
        self.interactions.inc(outcome.interactions)
        self.duplicates.inc(outcome.duplicates)
        for source, count in outcome.conflicting.items():
            self.conflicting_repeats.labels(source).inc(count)
        self.retracted.inc(outcome.retracted)
        self.dead_letters.inc(outcome.dead_letters)
        self.merges.inc(outcome.merges)
        self.changes.inc(outcome.changes)
        if batch.records:
            oldest_ms = min(record.timestamp_ms for _, record in batch.records)
            self.freshness_seconds.observe(max(0.0, time.time() - oldest_ms / 1000))
