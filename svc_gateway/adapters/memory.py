"""Keys and tenants in memory: for tests and trials of one process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_gateway.domain.keys import (
    CREATED_WITHIN,
    MAX_CREATED_KEYS,
    MAX_SCANNED_KEYS,
    ApiKey,
    CreatedKey,
    KeyPage,
    Revocation,
    Tenant,
    page_of,
    too_many_keys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from mesh.idempotency import RequestKey


def _replayed(known: dict[str, tuple[str, str]], request: RequestKey) -> str | None:
    """The id that the same request made before."""
    if request.request_id not in known:
        return None
    digest, made = known[request.request_id]
    request.require_same(digest)
    return made


class MemoryKeys:
    """API keys in a dictionary."""

    def __init__(self, max_created_keys: int = MAX_CREATED_KEYS) -> None:
        self._max_created_keys = max_created_keys
        self._keys: dict[str, ApiKey] = {}
        self._requests: dict[str, dict[str, tuple[str, str]]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._created_listeners: list[Callable[[], None]] = []

    async def add(self, key: ApiKey, request: RequestKey) -> ApiKey | None:
        """Keep a new key, or give the one that the same request made."""
        earlier = await self.made(key.tenant_id, request)
        if earlier is not None:
            return earlier
        since = key.created_at - CREATED_WITHIN
        lately = [each for each in self._keys.values() if each.tenant_id == key.tenant_id and each.created_at > since]
        if len(lately) >= self._max_created_keys:
            raise too_many_keys(self._max_created_keys)
        self._keys[key.key_id] = key
        if request.request_id:
            self._requests.setdefault(key.tenant_id, {})[request.request_id] = (request.digest, key.key_id)
        for created in self._created_listeners:
            created()
        return None

    async def made(self, tenant_id: str, request: RequestKey) -> ApiKey | None:
        """The key that the same request made."""
        made = _replayed(self._requests.get(tenant_id, {}), request)
        return None if made is None else self._keys[made]

    async def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """One key of a tenant."""
        key = self._keys.get(key_id)
        return key if key is not None and key.tenant_id == tenant_id else None

    async def list(self, tenant_id: str, active_at: datetime | None, before: str, limit: int) -> KeyPage:
        """Keys below an id, newest first."""
        looked_at = limit if active_at is None else max(limit, MAX_SCANNED_KEYS)
        own = (key for key in self._keys.values() if key.tenant_id == tenant_id)
        below = [key for key in own if not before or key.key_id < before]
        newest = sorted(below, key=lambda key: key.key_id, reverse=True)
        return page_of(newest[: looked_at + 1], active_at, limit, looked_at)

    async def revoke(self, tenant_id: str, key_id: str, now: datetime) -> ApiKey | None:
        """Revoke a key and say so."""
        key = await self.get(tenant_id, key_id)
        if key is None:
            return None
        self._keys[key_id] = key.revoked(now)
        for changed in self._listeners:
            changed()
        return self._keys[key_id]

    async def revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        """Revoked keys that have not expired."""
        return [
            Revocation(key.key_id, key.expires_at)
            for key in self._keys.values()
            if key.revoked_at is not None and key.expires_at > now and (since is None or key.revoked_at >= since)
        ]

    @asynccontextmanager
    async def listen(self, changed: Callable[[], None]) -> AsyncIterator[None]:
        """Call back after every revocation."""
        self._listeners.append(changed)
        try:
            yield
        finally:
            self._listeners.remove(changed)

    async def created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        """Keys of all tenants in the order of their creation."""
        places = sorted((key.created_at, key.key_id) for key in self._keys.values())
        found = [self._keys[key_id] for created_at, key_id in places if (created_at, key_id) > (since, after)][:limit]
        return [CreatedKey(key.key_id, key.tenant_id, key.created_at, key.expires_at) for key in found]

    @asynccontextmanager
    async def listen_created(self, created: Callable[[], None]) -> AsyncIterator[None]:
        """Call back after every new key."""
        self._created_listeners.append(created)
        try:
            yield
        finally:
            self._created_listeners.remove(created)


class MemoryTenants:
    """Tenants in a dictionary."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._requests: dict[str, tuple[str, str]] = {}
        self._updates: dict[str, tuple[str, Tenant]] = {}

    async def add(self, tenant: Tenant, request: RequestKey) -> Tenant | None:
        """Keep a new tenant, or give the one that the same request made."""
        made = _replayed(self._requests, request)
        if made is not None:
            return self._tenants[made]
        if tenant.tenant_id in self._tenants:
            raise taken(tenant.tenant_id)
        self._tenants[tenant.tenant_id] = tenant
        if request.request_id:
            self._requests[request.request_id] = (request.digest, tenant.tenant_id)
        return None

    async def update(
        self, tenant_id: str, change: Callable[[Tenant], Tenant], request: RequestKey, now: datetime
    ) -> Tenant | None:
        """Change a tenant, or give the answer that the same request got."""
        before = self._tenants.get(tenant_id)
        if before is None:
            return None
        after = change(before)
        digest, answer = self._updates.get(request.request_id, ("", None))
        if answer is not None:
            request.require_same(digest)
            return answer
        self._tenants[tenant_id] = after
        if request.request_id:
            self._updates[request.request_id] = (request.digest, after)
        return after

    async def get(self, tenant_id: str) -> Tenant | None:
        """One tenant."""
        return self._tenants.get(tenant_id)

    async def list(self, after: str, limit: int) -> Sequence[Tenant]:
        """Tenants above an id, in order."""
        return [self._tenants[name] for name in sorted(self._tenants) if name > after][:limit]


def taken(tenant_id: str) -> SomaError:
    """The error for a tenant id that exists."""
    return SomaError(Reason.ALREADY_EXISTS, f"tenant {tenant_id!r} exists")
