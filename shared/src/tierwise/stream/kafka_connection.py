"""Connections to Kafka that may break at any moment, on uvloop too.

Once a broker has hung up, a write raises RuntimeError on uvloop, where aiokafka 0.14 expects an OSError (its issue
1038). Whichever of its tasks meets that ends without a word: a consumer then fetches nothing more, or waits for ever to
find its coordinator, and to be stopped. `create_conn`, which all of aiokafka's clients use, makes these instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError, KafkaError


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is not typed
    """Says that it is broken as aiokafka expects it: by KafkaConnectionError."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        with self._breaking():
            return super().send(request, expect_response)

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        with self._breaking():
            return super()._send_sasl_token(payload, expect_response)

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except KafkaError:  # is a RuntimeError
            raise
        except RuntimeError as error:
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


conn.AIOKafkaConnection = Connection
