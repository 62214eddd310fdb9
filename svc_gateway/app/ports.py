"""What the gateway needs from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from mesh.idempotency import RequestKey
    from mesh.identity import Claims
    from svc_gateway.domain.degradation import ProbeResult
    from svc_gateway.domain.edge_state import EdgeTls
    from svc_gateway.domain.keys import ApiKey, CreatedKey, KeyPage, Revocation, Tenant


class KeyStore(Protocol):
    """Stores API keys, and notifies every process that listens of new keys and of revocations."""

    async def add(self, key: ApiKey, request: RequestKey) -> ApiKey | None:
        """Adds a key, and returns None; or returns the key that the same request added before.

        IDEMPOTENCY_MISMATCH when that request had another body, RATE_LIMITED when the tenant reached its limit.
        """

    async def find_by_request(self, tenant_id: str, request: RequestKey) -> ApiKey | None:
        """Returns the key that the same request added before, if any; IDEMPOTENCY_MISMATCH for another body."""

    async def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """Returns one key of a tenant."""

    async def list(self, tenant_id: str, active_at: datetime | None, before: str, limit: int) -> KeyPage:
        """Returns keys with ids below `before` (empty: all), newest first; only those active at `active_at` if set.

        With `active_at` it reads at most `MAX_SCANNED_KEYS` rows, so that a page may have fewer than `limit` keys,
        even none, and still be followed by another.
        """

    async def revoke(self, tenant_id: str, key_id: str, now: datetime) -> ApiKey | None:
        """Revokes a key and notifies listeners; None when the tenant has no such key."""

    async def list_revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        """Returns the unexpired revoked keys of all tenants; with `since`, those revoked then or later."""

    async def list_created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        """Returns keys of all tenants in the order of their creation time and id, from `since` on.

        Of those created at exactly `since`, only the ones with ids above `after`.
        """

    def listen_revoked(self, on_revoked: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Calls back after every revocation, and whenever some may have been missed."""

    def listen_created(self, on_created: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Calls back after every new key, and whenever some may have been missed."""


class Probe(Protocol):
    """Probes the health of one component."""

    def __call__(self) -> Awaitable[ProbeResult | None]:
        """Returns what the component reports of itself, or None; SomaError or OSError when it is unhealthy.

        UnknownHealthError when its health cannot be determined.
        """


class TenantStore(Protocol):
    """Stores tenants."""

    async def add(self, tenant: Tenant, request: RequestKey) -> Tenant | None:
        """Adds a tenant, and returns None; or returns the one that the same request added before.

        ALREADY_EXISTS for an id that is in use.
        """

    async def update(
        self, tenant_id: str, change: Callable[[Tenant], Tenant], request: RequestKey, now: datetime
    ) -> Tenant | None:
        """Changes a tenant and returns it; a repeated request gets its first response. None without such a tenant."""

    async def get(self, tenant_id: str) -> Tenant | None:
        """Returns one tenant."""

    async def list(self, after: str, limit: int) -> Sequence[Tenant]:
        """Returns tenants with ids above `after`, ordered by id."""


class EdgeSources(Protocol):
    """The parts of the edge's state that may change while it runs."""

    def tls(self) -> EdgeTls:
        """Returns the current certificates; OSError while they cannot be read."""

    def jwks(self) -> str:
        """Returns the current public keys, a JSON Web Key Set; OSError or ValueError while they cannot be read."""


class KeyFile(Protocol):
    """The file that receives the first key."""

    def read(self) -> str:
        """Returns the key in the file; empty when there is none."""

    def write(self, secret: str) -> None:
        """Writes a key to the file."""


class Minter(Protocol):
    """Signs tokens."""

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        """Returns a token with these claims, valid for `ttl_s` seconds."""


class StatementSigner(Protocol):
    """Signs payloads that are not tokens."""

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        """Returns a JWS of a type."""
