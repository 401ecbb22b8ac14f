"""What the tests of tests/e2e stand on, for those that take minutes."""

from tests.e2e.conftest import bootstrap_servers, deployment, embedded, on_kafka

__all__ = ["bootstrap_servers", "deployment", "embedded", "on_kafka"]
