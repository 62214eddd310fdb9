"""The gateway's keys and tenants in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_gateway.domain.keys import (
    CREATED_KEYS_WINDOW,
    MAX_CREATED_KEYS,
    MAX_SCANNED_KEYS,
    ApiKey,
    CreatedKey,
    KeyPage,
    Revocation,
    Tenant,
    page_of_keys,
    too_many_keys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from mesh.idempotency import RequestKey


def _created_by_request(known: dict[str, tuple[str, str]], request: RequestKey) -> str | None:
    """Returns the id that the same request created before."""
    if request.request_id not in known:
        return None
    digest, created_id = known[request.request_id]
    request.require_same(digest)
    return created_id


class InMemoryKeyStore:
    """API keys in a dictionary."""

    def __init__(self, max_created_keys: int = MAX_CREATED_KEYS) -> None:
        self._max_created_keys = max_created_keys
        self._keys: dict[str, ApiKey] = {}
        self._requests: dict[str, dict[str, tuple[str, str]]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._created_listeners: list[Callable[[], None]] = []

    async def add(self, key: ApiKey, request: RequestKey) -> ApiKey | None:
        earlier = await self.find_by_request(key.tenant_id, request)
        if earlier is not None:
            return earlier
        since = key.created_at - CREATED_KEYS_WINDOW
        recent = [each for each in self._keys.values() if each.tenant_id == key.tenant_id and each.created_at > since]
        if len(recent) >= self._max_created_keys:
            raise too_many_keys(self._max_created_keys)
        self._keys[key.key_id] = key
        if request.request_id:
            self._requests.setdefault(key.tenant_id, {})[request.request_id] = (request.digest, key.key_id)
        for on_created in self._created_listeners:
            on_created()
        return None

    async def find_by_request(self, tenant_id: str, request: RequestKey) -> ApiKey | None:
        created_id = _created_by_request(self._requests.get(tenant_id, {}), request)
        return None if created_id is None else self._keys[created_id]

    async def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        key = self._keys.get(key_id)
        return key if key is not None and key.tenant_id == tenant_id else None

    async def list(self, tenant_id: str, active_at: datetime | None, before: str, limit: int) -> KeyPage:
        max_scanned = limit if active_at is None else max(limit, MAX_SCANNED_KEYS)
        own = (key for key in self._keys.values() if key.tenant_id == tenant_id)
        below = [key for key in own if not before or key.key_id < before]
        newest = sorted(below, key=lambda key: key.key_id, reverse=True)
        return page_of_keys(newest[: max_scanned + 1], active_at, limit, max_scanned)

    async def revoke(self, tenant_id: str, key_id: str, now: datetime) -> ApiKey | None:
        key = await self.get(tenant_id, key_id)
        if key is None:
            return None
        self._keys[key_id] = key.revoke(now)
        for on_revoked in self._listeners:
            on_revoked()
        return self._keys[key_id]

    async def list_revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        return [
            Revocation(key.key_id, key.expires_at)
            for key in self._keys.values()
            if key.revoked_at is not None and key.expires_at > now and (since is None or key.revoked_at >= since)
        ]

    @asynccontextmanager
    async def listen_revoked(self, on_revoked: Callable[[], None]) -> AsyncIterator[None]:
        self._listeners.append(on_revoked)
        try:
            yield
        finally:
            self._listeners.remove(on_revoked)

    async def list_created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        positions = sorted((key.created_at, key.key_id) for key in self._keys.values())
        found = [self._keys[key_id] for created_at, key_id in positions if (created_at, key_id) > (since, after)][
            :limit
        ]
        return [CreatedKey(key.key_id, key.tenant_id, key.created_at, key.expires_at) for key in found]

    @asynccontextmanager
    async def listen_created(self, on_created: Callable[[], None]) -> AsyncIterator[None]:
        self._created_listeners.append(on_created)
        try:
            yield
        finally:
            self._created_listeners.remove(on_created)


class InMemoryTenantStore:
    """Tenants in a dictionary."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._requests: dict[str, tuple[str, str]] = {}
        self._updates: dict[str, tuple[str, Tenant]] = {}

    async def add(self, tenant: Tenant, request: RequestKey) -> Tenant | None:
        created_id = _created_by_request(self._requests, request)
        if created_id is not None:
            return self._tenants[created_id]
        if tenant.tenant_id in self._tenants:
            raise already_exists(tenant.tenant_id)
        self._tenants[tenant.tenant_id] = tenant
        if request.request_id:
            self._requests[request.request_id] = (request.digest, tenant.tenant_id)
        return None

    async def update(
        self, tenant_id: str, change: Callable[[Tenant], Tenant], request: RequestKey, now: datetime
    ) -> Tenant | None:
        before = self._tenants.get(tenant_id)
        if before is None:
            return None
        after = change(before)
        digest, response = self._updates.get(request.request_id, ("", None))
        if response is not None:
            request.require_same(digest)
            return response
        self._tenants[tenant_id] = after
        if request.request_id:
            self._updates[request.request_id] = (request.digest, after)
        return after

    async def get(self, tenant_id: str) -> Tenant | None:
        return self._tenants.get(tenant_id)

    async def list(self, after: str, limit: int) -> Sequence[Tenant]:
        return [self._tenants[name] for name in sorted(self._tenants) if name > after][:limit]


def already_exists(tenant_id: str) -> SomaError:
    """Returns the error for a tenant id that is in use."""
    return SomaError(Reason.ALREADY_EXISTS, f"tenant {tenant_id!r} exists")
