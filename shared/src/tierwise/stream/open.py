"""The stream that the settings ask for."""

from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.kafka import KafkaStream
from tierwise.stream.port import Stream
from tierwise.stream.postgres import PostgresStream


def open_stream(settings: Settings, engine: AsyncEngine, vault: Vault) -> Stream:
    """Apache Kafka where its bootstrap servers are set, else the tables of `engine`'s database.

    Connects when it is first used, so that a service starts, and says that it is not ready, while the stream is
    away. Use as an async context manager.
    """
    return kafka_stream(settings) or PostgresStream(engine, vault, retention_hours=settings.stream_retention_hours)


def kafka_stream(settings: Settings) -> KafkaStream | None:
    """None where its bootstrap servers are not set. The same in use."""
    if not settings.kafka_bootstrap_servers:
        return None
    return KafkaStream(
        settings.kafka_bootstrap_servers,
        replication_factor=settings.stream_replication_factor,
        retention_hours=settings.stream_retention_hours,
    )
