"""Settings: read once, from the environment (`TIERWISE_` in front) or `.env`, then passed as an argument."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FilePath, IPvAnyNetwork, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from tierwise.secret_files import SecretFiles


class SettingError(Exception):
    """A setting cannot be used as it is; the message names it."""


class Settings(BaseSettings):
    """Everything that an operator may set; the README's table has one row for each field."""

    model_config = SettingsConfigDict(env_prefix="TIERWISE_", env_file=".env", extra="ignore", frozen=True)

    database_url: SecretStr | None = Field(default=None, description="PostgreSQL; unset: embedded under DATA_DIR")
    kafka_bootstrap_servers: str | None = Field(default=None, description="Apache Kafka; unset: embedded stream")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    kafka_username: str | None = Field(default=None, description="Of SASL", validate_default=True)
    kafka_password: SecretStr | None = Field(default=None, description="Of SASL", validate_default=True)
    kafka_ca_file: FilePath | None = Field(default=None, description="Whom TLS trusts, PEM; unset: the system's")
    kafka_certificate_file: FilePath | None = Field(default=None, description="Of ours as a client, PEM")
    kafka_key_file: FilePath | None = Field(default=None, description="Its key, PEM; unset: in the same file")
    data_dir: Path = Field(default=Path(".tierwise"), description="Where embedded data lives")
    secret_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Seals personal data and signs; comma-separated while rotating, the newest first"
    )
    rulebook: Path | None = Field(default=None, description="Seeds an empty database: a file, b2b or retail")
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(default=8001, ge=0, le=65535)
    ingest_body_bytes_max: int = Field(default=5_000_000, ge=1, description="Of one request, inflated")
    ingest_items_max: int = Field(default=1_000, ge=1, description="Interactions in one request")
    ingest_item_bytes_max: int = Field(default=64_000, ge=1, description="Of one interaction, as sent")
    ingest_depth_max: int = Field(default=16, ge=2, description="Nesting of one interaction")
    ingest_append_timeout_s: float = Field(default=10.0, gt=0, description="A slower stream is answered with 503")
    ingest_pending_bytes_max: int = Field(default=64_000_000, ge=1, description="Waiting for the stream; beyond: 503")

    ingest_trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        default=(), description="Networks whose `X-Forwarded-Proto` and `-Host` are believed, comma-separated"
    )

    profile_api_host: str = "127.0.0.1"
    profile_api_port: int = Field(default=8002, ge=0, le=65535)
    profile_api_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins whose pages may read, comma-separated; `*`: any"
    )
    oidc_issuer: str | None = Field(
        default=None, description="Address of an identity provider whose JWTs are read keys"
    )
    oidc_audience: str | None = Field(default=None, description="Whom its JWTs have to be for; needed with an issuer")
    oidc_scope_claim: str = Field(default="scope", description="The claim that holds the scopes: a text or a list")
    audit_retention_days: int = Field(
        default=730, ge=1, description="How long it is known who read whose personal data"
    )

    stream_partitions: int = Field(
        default=8, ge=1, le=1024, description="Of the topic interactions, when it is created"
    )
    stream_retention_hours: int = Field(default=168, ge=1, description="How long topics keep records")
    stream_replication_factor: int = Field(default=1, ge=1, description="Of Kafka topics, when they are created")
    deduplication_horizon_days: int | None = Field(
        default=None, ge=1, description="Older interactions are rejected, their keys forgotten; unset: for ever"
    )

    interactions_retention_days: int | None = Field(
        default=None,
        ge=31,
        description="Interactions older than that are kept as sums, in whole months; unset: each of them for ever",
    )

    scoring_port: int = Field(
        default=8003, ge=0, le=65535, description="Health and metrics of a scoring worker; 0: any"
    )
    scoring_host: str = "127.0.0.1"
    webhook_allowed_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        default=(), description="Not of the internet, but webhooks may go there, by plain http too; comma-separated"
    )
    webhook_log_days: int = Field(default=7, ge=5, description="How long the log of deliveries is kept")
    scoring_batch_max: int = Field(default=5_000, ge=1, description="Interactions in one transaction")
    scoring_read_wait_ms: int = Field(default=200, ge=0, description="How long a read waits for the first record")

    @field_validator(
        "secret_key", "ingest_trusted_proxies", "profile_api_origins", "webhook_allowed_networks", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part for part in value.split(",") if part) if isinstance(value, str) else value

    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _given_with_sasl(cls, value: object, info: ValidationInfo) -> object:
        protocol = str(info.data.get("kafka_security_protocol"))
        if value is None and protocol.startswith("SASL"):
            raise PydanticCustomError("missing", f"needed with TIERWISE_KAFKA_SECURITY_PROTOCOL={protocol}")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before `.env`; in both a secret may be a file's."""
        return init_settings, env_settings, dotenv_settings, SecretFiles(settings_cls, env_settings, dotenv_settings)
