"""How Kafka's brokers are reached: addresses, TLS, and who we are to them."""

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

import tierwise.stream.kafka_connection  # noqa: F401  (mends the connections of aiokafka's clients)
from tierwise.settings import SettingError, Settings

_PROBE_TIMEOUT_MS = 3_000
_CONNECTED_WITHIN_S = 2.0  # as a rule


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """`protocol` and `mechanism` in Kafka's own words: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL; PLAIN,
    SCRAM-SHA-256, SCRAM-SHA-512."""

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """None where no brokers are set. Raises SettingError: a file holds no certificate, or no key that fits."""
        if not settings.kafka_bootstrap_servers:
            return None
        protocol, password = settings.kafka_security_protocol, settings.kafka_password
        return cls(
            settings.kafka_bootstrap_servers,
            protocol,
            settings.kafka_sasl_mechanism,
            settings.kafka_username,
            password.get_secret_value() if password is not None else None,
            _tls(settings) if protocol.endswith("SSL") else None,
        )

    def options(self) -> dict[str, Any]:
        """What every client of aiokafka's is made with."""
        return {"bootstrap_servers": self.servers, "client_id": "tierwise", **self._security()}

    async def why(self, error: KafkaConnectionError) -> str:
        """Why no broker could be asked, and which setting to look at: aiokafka only logs it."""
        reasons = [await self._reason(host, port) for host, port, _ in collect_hosts(self.servers)]
        return "; ".join(reason for reason in reasons if reason) or str(error)

    async def _reason(self, host: str, port: int) -> str | None:
        try:
            (await create_conn(host, port, request_timeout_ms=_PROBE_TIMEOUT_MS, **self._security())).close()
        except (OSError, KafkaError) as error:
            return f"{host}:{port}: {self._told(error)}"
        return None

    def _told(self, error: Exception) -> str:
        said = str(error) or type(error).__name__
        match error:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {error.verify_message}. See TIERWISE_KAFKA_CA_FILE"
            case SaslAuthenticationFailed():
                return "it refuses TIERWISE_KAFKA_USERNAME with TIERWISE_KAFKA_PASSWORD"
            case UnsupportedSaslMechanismError() | IllegalSaslStateError():
                return (
                    f"it does not take {self.mechanism} here. See TIERWISE_KAFKA_SASL_MECHANISM and "
                    "TIERWISE_KAFKA_SECURITY_PROTOCOL"
                )
            case ssl.SSLError() | KafkaConnectionError() | ConnectionResetError():
                return f"it hangs up on {self.protocol} ({said}). See TIERWISE_KAFKA_SECURITY_PROTOCOL"
        return said

    def _security(self) -> dict[str, Any]:
        return {
            "security_protocol": self.protocol,
            "ssl_context": self.tls,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }


async def connected(connecting: Coroutine[Any, Any, None]) -> None:
    """Awaits what connects a client of aiokafka's. Cancelled, it leaves that a moment to end by itself: aiokafka 0.14
    forgets a connection, open, where it is cancelled while it asks the broker for its metadata."""
    task = asyncio.create_task(connecting, name="stream-connecting")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_CONNECTED_WITHIN_S)
        task.cancel()
        raise


def _tls(settings: Settings) -> ssl.SSLContext:
    authority, certificate, key = settings.kafka_ca_file, settings.kafka_certificate_file, settings.kafka_key_file
    with _naming("TIERWISE_KAFKA_CA_FILE"):
        context = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        with _naming("TIERWISE_KAFKA_CERTIFICATE_FILE, TIERWISE_KAFKA_KEY_FILE"):
            context.load_cert_chain(certificate, key, password=_no_password)
    return context


@contextmanager
def _naming(settings: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise SettingError(f"{settings}: {error.strerror or error}. PEM is needed, a key without a password") from error


def _no_password() -> str:
    return ""  # else OpenSSL would ask the terminal
