"""The desired state of the edge, from which the control plane builds Envoy's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_gateway.domain.routes import RouteTable

SPIFFE = "spiffe://soma/"


@dataclass(frozen=True)
class TlsCertificate:
    """A certificate chain and its private key, both PEM."""

    chain: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True)
class EdgeTls:
    """The edge's certificate, and the PEM of the CA of the services (None: plaintext to the services)."""

    certificate: TlsCertificate
    ca: bytes | None = None


@dataclass(frozen=True)
class CredentialVerification:
    """Which signed credentials are accepted, and the ids of revoked keys, whose credentials are not."""

    issuer: str
    audience: str
    environment: str
    jwks: str
    revoked: frozenset[str] = frozenset()

    @property
    def key_prefix(self) -> str:
        """Prefix of the API keys of this environment."""
        return f"soma_{self.environment}_"


@dataclass(frozen=True)
class Limits:
    """Limits at the edge: calls per second, bytes, and seconds from the first byte of a request."""

    requests_per_second: int
    tenant_requests_per_second: int
    tenants_tracked: int
    body_bytes: int
    upload_bytes: int
    unary_timeout_s: float
    upload_idle_s: float
    upload_longest_s: float = 1_800.0


@dataclass(frozen=True)
class Cors:
    """Origins of web pages that may call; empty: CORS is off."""

    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class EdgeState:
    """The desired state of the edge. `upstreams` maps a context to host:port, None when it is not deployed.

    `control` is host:port of the gateway's own server for health by service name and for reflection. `collector` is
    the URL of the OTLP collector, empty for none.
    """

    host: str
    port: int
    routes: RouteTable
    descriptors: bytes = field(repr=False)
    upstreams: Mapping[str, str | None]
    control: str
    tls: EdgeTls
    credentials: CredentialVerification
    limits: Limits
    cors: Cors = Cors()
    access_log: str = "/dev/stdout"
    collector: str = ""
