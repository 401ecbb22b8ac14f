"""What a scoring worker tells Prometheus."""

import time
from collections import Counter as Counts

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tierwise_scoring.batch import Batch
from tierwise_scoring.lag import Behind
from tierwise_scoring.process import Outcome
from tierwise_scoring.stages import STAGES, Stages

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_RECORDS = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)


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
        self.erased = counter("erased", "Interactions of persons who were erased, deleted or passed over")
        self.dead_letters = Counter(
            "tierwise_scoring_dead_letters", "Records that could not be used, by why", ["reason"], registry=registry
        )
        self.merges = counter("merges", "Customers merged into another one")
        self.changes = counter("changes", "Changes of tier, intent, lifecycle or tags")
        self.reviews = counter("reviews", "Customers classified again because time passed")
        self.released = counter("released", "Customers classified again by the release of a rulebook")
        self.batch_seconds = Histogram(
            "tierwise_scoring_batch_seconds", "From a decoded batch to its commit", registry=registry, buckets=_SECONDS
        )
        self.batch_records = Histogram(
            "tierwise_scoring_batch_records", "Records of a batch", registry=registry, buckets=_RECORDS
        )
        self.stage_seconds = Histogram(
            "tierwise_scoring_stage_seconds",
            f"A batch's time by stage: {', '.join(STAGES)}",
            ["stage"],
            registry=registry,
            buckets=_STAGE_SECONDS,
        )
        self.freshness_seconds = Histogram(
            "tierwise_scoring_freshness_seconds",
            "From the arrival of a batch's oldest interaction to its commit",
            registry=registry,
            buckets=_SECONDS,
        )
        self.lag_records = Gauge(
            "tierwise_scoring_lag_records", "Records not scored yet", ["partition"], registry=registry
        )
        self.lag_seconds = Gauge(
            "tierwise_scoring_lag_seconds",
            "For how long at most the oldest record not scored yet has waited",
            ["partition"],
            registry=registry,
        )
        self.published = Counter(
            "tierwise_relay_records", "Records published on the topics", ["topic"], registry=registry
        )
        self.backlogs = BacklogMetrics(registry)

    def count(self, batch: Batch, outcome: Outcome) -> None:
        """After the commit."""
        self.interactions.inc(outcome.interactions)
        self.duplicates.inc(outcome.duplicates)
        for source, count in outcome.conflicting.items():
            self.conflicting_repeats.labels(source).inc(count)
        self.retracted.inc(outcome.retracted)
        self.erased.inc(outcome.erased)
        for reason, count in Counts(letter.reason for letter in batch.dead_letters).items():
            self.dead_letters.labels(reason).inc(count)
        self.merges.inc(outcome.merges)
        self.changes.inc(outcome.changes)
        self.batch_records.observe(len(batch))
        if batch.arrived_ms:
            oldest_ms = min(first for first, _ in batch.arrived_ms.values())
            self.freshness_seconds.observe(max(0.0, time.time() - oldest_ms / 1000))

    def stages(self, stages: Stages) -> None:
        for stage, seconds in stages.seconds.items():
            self.stage_seconds.labels(stage).observe(seconds)

    def behind(self, lag: dict[int, Behind]) -> None:
        """By partition: all that this worker reads now."""
        self.lag_records.clear()
        self.lag_seconds.clear()
        for partition, (records, seconds) in lag.items():
            self.lag_records.labels(partition).set(records)
            self.lag_seconds.labels(partition).set(seconds)


class BacklogMetrics:
    """Of the database, the same from every worker. Counts end at `tierwise_scoring.backlogs.COUNTED_MAX`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"tierwise_{name}", text, labels, registry=registry)

        self.reviews = gauge("sweeper_backlog_customers", "Customers whose review is due")
        self.reviews_seconds = gauge("sweeper_backlog_seconds", "For how long the first of them has been due")
        self.unpublished = gauge("relay_backlog_rows", "Rows that are not published yet", "outbox")
        self.unpublished_seconds = gauge("relay_backlog_seconds", "For how long the first of them has waited", "outbox")
        self.dead_letters = gauge("dead_letters_open", "Dead letters that were not replayed yet")
