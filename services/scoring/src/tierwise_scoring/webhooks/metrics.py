"""What deliveries tell Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class WebhookMetrics:
    """`backlog`: one label for each subscription, of which there are few; only the process that sends has it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "tierwise_webhook_attempts",
            "Attempts to deliver: delivered, to_be_repeated, given_up, unaddressable, gone or test_failed",
            ["outcome"],
            registry=registry,
        )
        self.disabled = Counter(
            "tierwise_webhook_disabled",
            "Subscriptions disabled because their endpoint was gone, or took nothing to the last attempt (exhausted)",
            ["reason"],
            registry=registry,
        )
        self.backlog = Gauge(
            "tierwise_webhook_backlog", "Deliveries that wait in the queue", ["subscription"], registry=registry
        )
        self.seconds = Histogram(
            "tierwise_webhook_attempt_seconds",
            "An attempt, to the end of its answer",
            registry=registry,
            buckets=_SECONDS,
        )
