"""The stream that the settings ask for."""

from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise import tracing
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.kafka import KafkaStream
from tierwise.stream.kafka_access import KafkaAccess
from tierwise.stream.port import Stream
from tierwise.stream.postgres import PostgresStream


def open_stream(settings: Settings, engine: AsyncEngine, vault: Vault) -> Stream:
    """Apache Kafka where its bootstrap servers are set, else the tables of `engine`'s database.

    Connects when it is first used, so that a service starts, and says that it is not ready, while the stream is
    away. Use as an async context manager. Raises SettingError.
    """
    stream = kafka_stream(settings) or PostgresStream(engine, vault, retention_hours=settings.stream_retention_hours)
    if (spans := tracing.spans()) is None:
        return stream
    from tierwise.stream.traced import TracedStream  # its imports are for who traces

    return TracedStream(stream, spans)


def kafka_stream(settings: Settings) -> KafkaStream | None:
    """None where its bootstrap servers are not set. The same in use."""
    if (access := KafkaAccess.of(settings)) is None:
        return None
    return KafkaStream(
        access,
        replication_factor=settings.stream_replication_factor,
        retention_hours=settings.stream_retention_hours,
    )
