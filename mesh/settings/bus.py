"""The settings of the event bus."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from mesh.settings.blocks import Address, Block, Profile
from mesh.settings.loading import Env

_HOURS = 72
LARGEST_PAYLOAD = 3 << 20
"""Bytes of an event's payload."""
_ENVELOPE = 64 << 10
"""Bytes, more than enough, of what is around a payload in a record: ids, type, key, headers."""
LARGEST_RECORD = LARGEST_PAYLOAD + 3 * _ENVELOPE
"""Bytes of the largest record: a dead letter, itself an event in its envelope, that holds the record of an event."""


class BusSettings(Block):
    """The event bus: Valkey streams, or a Kafka cluster, which all but `kind`, `max_lag_s` and `profile` are about."""

    kind: Literal["valkey", "kafka"] = Field("valkey", description="valkey: streams of the Valkey server; or kafka")
    max_lag_s: float = Field(
        15.0, gt=0, description="age of an event that is not sent yet from which a context says that its outbox waits"
    )
    bootstrap_servers: tuple[Address, ...] = Field((), description="Kafka: host:port of some brokers, with commas")
    prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="Kafka: what names of topics and groups begin with there"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "SASL_SSL", description="Kafka: how brokers are spoken to; without SSL in the profiles dev and test only"
    )
    ca_file: Path | None = Field(None, description="Kafka: PEM authority of the brokers; none: the system's")
    cert_file: Path | None = Field(None, description="Kafka: PEM certificate chain of this client; none: shows none")
    key_file: Path | None = Field(None, description="Kafka: PEM private key of cert_file")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Kafka: how this client proves who it is, where security_protocol has SASL"
    )
    sasl_username: str = Field("", description="Kafka: user for SASL")
    sasl_password: SecretStr | None = Field(None, description="Kafka: password for SASL")
    partitions: int = Field(8, gt=0, description="Kafka: partitions of topics that the mesh creates")
    replication_factor: int = Field(3, gt=0, description="Kafka: copies of topics that the mesh creates")
    min_insync_replicas: int = Field(2, gt=0, description="Kafka: copies that must have a record to acknowledge it")
    retention_hours: int = Field(
        _HOURS, gt=0, description="Kafka: hours that records are kept: from the RPO of backups to the inbox's memory"
    )
    topic_retention_hours: dict[str, int] = Field(
        {}, description='Kafka: the same for single topics, as JSON, for example {"audit.events": 144}'
    )
    max_message_bytes: int = Field(
        8 * 1024 * 1024,
        gt=0,
        description=f"Kafka: largest batch of records, in bytes; at least {LARGEST_RECORD}, so that every event fits",
    )
    session_timeout_s: float = Field(
        10.0, ge=1, description="Kafka: a member that is silent for so long loses its partitions to others, in seconds"
    )
    max_poll_interval_s: float = Field(
        300.0, ge=1, description="Kafka: a member that takes no records for so long leaves its group, in seconds"
    )
    profile: Annotated[Profile, Env("SA01_PROFILE")] = Field(
        "production", description="production, dev or test; plaintext to brokers is refused in production"
    )

    @model_validator(mode="after")
    def _complete(self) -> BusSettings:
        if self.kind != "kafka":
            return self
        if not self.bootstrap_servers:
            raise ValueError("set bootstrap_servers: kind is kafka")
        if "SASL" in self.security_protocol and not (self.sasl_username and self.sasl_password):
            raise ValueError("set sasl_username and sasl_password: security_protocol has SASL")
        if self.security_protocol.endswith("PLAINTEXT") and self.profile == "production":
            raise ValueError("security_protocol must be SSL or SASL_SSL in production")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("set cert_file and key_file together, or none of them")
        if self.max_message_bytes < LARGEST_RECORD:
            raise ValueError(
                f"max_message_bytes must be at least {LARGEST_RECORD}: a dead letter of the largest event must fit"
            )
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError("min_insync_replicas must not exceed replication_factor")
        return self
