"""Use cases on tenants: created by platform administrators, read by their own members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_gateway.domain.keys import PLATFORM_ADMIN, Tenant
from svc_gateway.domain.permissions import DEFAULT_PERMISSIONS, NO_PLAN
from svc_gateway.domain.tenants import apply_changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.clock import Clock
    from mesh.context import Caller
    from svc_gateway.app.ports import TenantStore
    from svc_gateway.domain.permissions import TenantPermissions


@dataclass(frozen=True)
class TenantPage:
    """One page of tenants; the next page begins after the id `next_cursor`, which is empty on the last page."""

    tenants: Sequence[Tenant]
    next_cursor: str = ""


class Tenants:
    """Use cases on tenants."""

    def __init__(self, store: TenantStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(
        self,
        tenant_id: str,
        display_name: str,
        plan: str,
        request: RequestKey = NO_KEY,
        permissions: TenantPermissions = DEFAULT_PERMISSIONS,
    ) -> Tenant:
        """Creates a tenant; the authorization policy allows it to platform administrators only."""
        tenant = Tenant(tenant_id, display_name or tenant_id, plan or NO_PLAN, self._clock.now(), permissions)
        return await self._store.add(tenant, request) or tenant

    async def update(self, tenant_id: str, changes: Mapping[str, object], request: RequestKey = NO_KEY) -> Tenant:
        """Changes the named fields of a tenant; the authorization policy allows it to platform administrators only."""
        after = await self._store.update(
            tenant_id, lambda before: apply_changes(before, changes), request, self._clock.now()
        )
        if after is None:
            raise not_found("tenant", tenant_id)
        return after

    async def get(self, caller: Caller, tenant_id: str) -> Tenant:
        """Returns a tenant that the caller may read; NOT_FOUND for others."""
        tenant = await self._store.get(tenant_id) if _may_read(caller, tenant_id) else None
        if tenant is None:
            raise not_found("tenant", tenant_id)
        return tenant

    async def list(self, caller: Caller, size: int, after: str) -> TenantPage:
        """Returns the tenants that the caller may read, with ids above `after`."""
        if not _may_read_all(caller):
            own = await self._store.get(caller.tenant_id)
            return TenantPage([own] if own is not None and own.tenant_id > after else [])
        found = await self._store.list(after, size + 1)
        if len(found) <= size:
            return TenantPage(found)
        return TenantPage(found[:size], found[size - 1].tenant_id)


def _may_read_all(caller: Caller) -> bool:
    return PLATFORM_ADMIN in caller.roles or ("service" in caller.roles and not caller.actor)


def _may_read(caller: Caller, tenant_id: str) -> bool:
    return tenant_id == caller.tenant_id or _may_read_all(caller)
