"""What the edge should be: the one description that the control plane turns into the proxy's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_gateway.domain.routes import RouteTable

SPIFFE = "spiffe://soma/"


@dataclass(frozen=True)
class Identity:
    """A certificate chain and its private key, both PEM."""

    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Trust:
    """What the edge shows to clients, and how it and the services know each other (None: plaintext inside)."""

    edge: Identity
    authority: bytes | None = None


@dataclass(frozen=True)
class Credentials:
    """Which signed credentials are accepted, and the key ids that are not any more."""

    issuer: str
    audience: str
    environment: str
    jwks: str
    revoked: frozenset[str] = frozenset()

    @property
    def key_prefix(self) -> str:
        """What an API key of this environment starts with."""
        return f"soma_{self.environment}_"


@dataclass(frozen=True)
class Limits:
    """Bounds at the edge: calls a second, bytes, header sizes, seconds from the first byte of a request."""

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
    """Origins of web pages that may call; none: no page of another origin may."""

    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class EdgeState:
    """The whole edge at one moment. `upstreams` maps a context to host:port, None when it is not deployed.

    `control` is the gateway's own server for what concerns the whole mesh: health by service name and reflection.
    `collector` is the URL that spans go to, empty for none.
    """

    host: str
    port: int
    routes: RouteTable
    descriptors: bytes = field(repr=False)
    upstreams: Mapping[str, str | None]
    control: str
    trust: Trust
    credentials: Credentials
    limits: Limits
    cors: Cors = Cors()
    access_log: str = "/dev/stdout"
    collector: str = ""
