"""The blocks that services compose their settings from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from mesh.settings.loading import Env, EnvEach

Address = Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")]
_HOST_PORT = r"(?:[^\s:/,]+|\[[0-9a-fA-F:]+\]):\d{1,5}"
_V4_PORTS = r"ipv4:[\d.]+:\d{1,5}(?:,[\d.]+:\d{1,5})*"
_V6_PORTS = r"ipv6:\[[0-9a-fA-F:]+\]:\d{1,5}(?:,\[[0-9a-fA-F:]+\]:\d{1,5})*"
PeerAddress = Annotated[str, Field(pattern=rf"^(?:(?:dns:///)?{_HOST_PORT}|{_V4_PORTS}|{_V6_PORTS})$")]
PeerAddresses = Annotated[
    Mapping[str, PeerAddress],
    EnvEach("context"),
    Field(description="address of the context of that name, which others call; required for each that is called"),
]
"""Addresses of the contexts by name: host:port, or `ipv4:1.2.3.4:1,1.2.3.5:1` and likewise `ipv6:` for several.

Calls are shared among all addresses that the host resolves to, so that a headless service needs one name. The
certificate of each address in a list must be good for the first.
"""
Profile = Literal["production", "dev", "test"]


class Block(BaseModel):
    """A group of settings: frozen, nothing unknown accepted, secrets hidden from text and errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServerSettings(Block):
    """The gRPC server of a context."""

    bind: Address = Field("127.0.0.1:0", description="host:port to listen on; port 0 takes a free one")
    max_message_bytes: int = Field(
        8 * 1024 * 1024, gt=0, description="largest message received or sent, in bytes; larger bodies are streamed"
    )
    max_concurrent_calls: int = Field(1_000, gt=0, description="calls served at once; more are refused as overload")
    max_concurrent_streams: int = Field(4_000, gt=0, description="open response streams; more are refused as overload")
    max_concurrent_uploads: int = Field(
        250, gt=0, description="calls among them whose request is a stream; more are refused as overload"
    )
    tenant_share: float = Field(
        0.5, gt=0, le=1, description="share of calls and of streams that one tenant may have open at once"
    )
    tenant_event_streams: int = Field(
        100, gt=0, description="event streams, such as those of WatchJob, that one tenant may have open; not downloads"
    )
    tenant_uploads: int = Field(50, gt=0, description="calls with a request stream that one tenant may have open")
    upload_grace_s: float = Field(
        30.0, gt=0, description="time that a request stream has in any case before it must keep up its rate, in seconds"
    )
    upload_bytes_per_s: int = Field(
        4_096, gt=0, description="bytes a second that a request stream must bring on average to go on"
    )
    drain_seconds: float = Field(10.0, ge=0, description="time that calls get to finish at shutdown, in seconds")
    max_connection_age_seconds: float = Field(
        300.0,
        ge=0,
        description="age, in seconds, from which a connection is given up once its calls are over, so that clients look"
        " for new replicas; 0: never",
    )
    heartbeat_s: float = Field(
        10.0, gt=0, lt=15, description="silence of a stream of news after which a heartbeat is sent, in seconds"
    )
    stream_drain_seconds: float = Field(
        2.0, ge=0, description="time after which open streams are told to reconnect at shutdown, in seconds"
    )


class TlsSettings(Block):
    """Mutual TLS between services. All three files, or none: then plaintext, in the profiles dev and test only."""

    ca_file: Path | None = Field(None, description="PEM certificates of the authority that peers must be signed by")
    cert_file: Path | None = Field(None, description="PEM certificate chain of this service")
    key_file: Path | None = Field(None, description="PEM private key of this service")
    profile: Annotated[Profile, Env("SA01_PROFILE")] = Field(
        "production", description="production, dev or test; plaintext is refused in production"
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> TlsSettings:
        if len({self.ca_file is None, self.cert_file is None, self.key_file is None}) > 1:
            raise ValueError("set ca_file, cert_file and key_file together, or none of them")
        return self

    @property
    def enabled(self) -> bool:
        """Whether certificates are configured."""
        return self.ca_file is not None


class PostgresSettings(Block):
    """The Postgres database and the schema of a context."""

    dsn: SecretStr = Field(description="postgresql:// address with user and password")
    pool_min: int = Field(1, ge=0, description="connections kept open")
    pool_max: int = Field(8, gt=0, description="connections opened at most")
    acquire_timeout_s: float = Field(5.0, gt=0, description="longest wait for a free connection, in seconds")
    schema_name: str = Field(
        "public", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="schema that the context owns, named like it"
    )

    @model_validator(mode="after")
    def _pool_bounds(self) -> PostgresSettings:
        if self.pool_min > self.pool_max:
            raise ValueError("pool_min must not exceed pool_max")
        return self


class ValkeySettings(Block):
    """The Valkey server: caches and streams, all of it rebuildable."""

    url: SecretStr = Field(description="redis:// or rediss:// address with password")


class TemporalSettings(Block):
    """The Temporal cluster that runs durable work."""

    address: Address = Field(description="host:port of the frontend")
    namespace: str = Field("default", min_length=1, description="namespace of the workflows")


class VaultSettings(Block):
    """The Vault-compatible secret store."""

    address: str = Field(pattern=r"^https?://", description="base URL of the store")
    token_file: Path = Field(description="file that holds the access token; read again when it changes")
    kv_mount: str = Field("secret", min_length=1, description="mount of the KV v2 engine")
    transit_mount: str = Field("transit", min_length=1, description="mount of the transit engine")
    ca_file: Path | None = Field(None, description="PEM authority of the store's certificate; none: the system's")


class TelemetrySettings(Block):
    """Metrics, traces and logs."""

    metrics_bind: Address | None = Field(
        None, description="host:port of the Prometheus exposition, one per process; none: not exposed"
    )
    otlp_endpoint: str | None = Field(None, description="OTLP gRPC collector, for example http://host:4317; none: off")
    statement_spans: bool = Field(
        False,
        description="spans of each statement in Postgres and command in Valkey, within traces that are exported; costs "
        "each about 50 microseconds",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level that is written")
    log_format: Literal["json", "console"] = Field("json", description="json: one object a line; console: for people")


class PolicySettings(Block):
    """Where Rego policy comes from and who evaluates it."""

    bundle_dir: Path | None = Field(
        None,
        description="folder of .rego files; none: the packaged policy. Either gets the grants of the contexts as data",
    )
    opa_url: Annotated[str | None, Env("SA01_OPA_URL")] = Field(
        None, description="base URL of a central OPA; none: evaluated in-process"
    )


class IdentitySettings(Block):
    """Which tokens are accepted."""

    issuer: str = Field("soma", min_length=1, description="accepted `iss` claim")
    audience: str = Field("soma", min_length=1, description="accepted `aud` claim")
    jwks_file: Path | None = Field(
        None, description="JWKS of the public keys that sign tokens; none: asked of the secret store"
    )
    revocations_dir: Path | None = Field(
        None,
        description="folder that keeps the last signed sets of existing and of revoked keys, so that a restart needs "
        "no gateway; none: API keys are refused until the gateway was heard",
    )
    revocations_max_age_s: float = Field(
        900.0, gt=0, description="age of either set, in seconds, after which API keys are refused and only tokens pass"
    )


class BlobSettings(Block):
    """Where bytes are stored."""

    url: str = Field(
        pattern=r"^[a-z0-9]+://", description="object store: file:///folder, s3://bucket/prefix, memory://"
    )
