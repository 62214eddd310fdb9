"""What the gateway needs from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from mesh.idempotency import RequestKey
    from mesh.identity import Claims
    from svc_gateway.domain.edge_state import Trust
    from svc_gateway.domain.keys import ApiKey, CreatedKey, KeyPage, Revocation, Tenant


class KeyStore(Protocol):
    """Keeps keys. New keys and revocations are told to every process that listens."""

    async def add(self, key: ApiKey, request: RequestKey) -> ApiKey | None:
        """Keep a new key; the key made before by the same request instead, IDEMPOTENCY_MISMATCH for another body.

        RATE_LIMITED when the tenant made as many keys lately as it may.
        """

    async def made(self, tenant_id: str, request: RequestKey) -> ApiKey | None:
        """The key that the same request made before, if any; IDEMPOTENCY_MISMATCH for another body."""

    async def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """One key of a tenant."""

    async def list(self, tenant_id: str, active_at: datetime | None, before: str, limit: int) -> KeyPage:
        """Keys with ids below `before` (empty: all), newest first; only usable ones when `active_at` is given.

        Of those it looks at no more than `MAX_SCANNED_KEYS`, so that a page may hold less than `limit`, even nothing,
        and yet have an end that the next one follows.
        """

    async def revoke(self, tenant_id: str, key_id: str, now: datetime) -> ApiKey | None:
        """Revoke a key and say so; None when the tenant has no such key."""

    async def revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        """Every revoked key, of all tenants, that has not expired; with `since`, of those revoked then or later."""

    async def created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        """Keys of all tenants in the order of their creation and ids, from `since` on.

        Of those that were made at that very moment, the ones with ids above `after`.
        """

    def listen(self, changed: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call back after every revocation, and whenever some may have been missed."""

    def listen_created(self, created: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call back after every new key, and whenever some may have been missed."""


class TenantStore(Protocol):
    """Keeps tenants."""

    async def add(self, tenant: Tenant, request: RequestKey) -> Tenant | None:
        """Keep a new tenant; the one made before by the same request instead. ALREADY_EXISTS for a taken id."""

    async def update(
        self, tenant_id: str, change: Callable[[Tenant], Tenant], request: RequestKey, now: datetime
    ) -> Tenant | None:
        """Change a tenant; the answer given before to the same request instead. None when there is no such tenant."""

    async def get(self, tenant_id: str) -> Tenant | None:
        """One tenant."""

    async def list(self, after: str, limit: int) -> Sequence[Tenant]:
        """Tenants with ids above `after`, ordered by id."""


class Sources(Protocol):
    """What of the edge's state may change while it runs."""

    def trust(self) -> Trust:
        """The certificates now; OSError while they cannot be read."""

    def jwks(self) -> str:
        """The public keys now, a JSON Web Key Set; OSError or ValueError while they cannot be read."""


class KeyFile(Protocol):
    """Where the key is left."""

    def read(self) -> str:
        """The key there, empty when there is none."""

    def write(self, secret: str) -> None:
        """Leave a key there."""


class Minter(Protocol):
    """Signs claims."""

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        """A token for these claims, good for `ttl_s` seconds."""


class StatementSigner(Protocol):
    """Signs what is not a token."""

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        """A JWS of a type."""
