"""Tenants: made by the platform's administrators, read by their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_gateway.domain.keys import PLATFORM_ADMIN, Tenant
from svc_gateway.domain.permissions import DEFAULT_PERMISSIONS, NO_PLAN
from svc_gateway.domain.tenants import changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.clock import Clock
    from mesh.context import Caller
    from svc_gateway.app.ports import TenantStore
    from svc_gateway.domain.permissions import TenantPermissions


@dataclass(frozen=True)
class Page:
    """One page of tenants; `end` is the id that the next one follows, empty when there is none."""

    tenants: Sequence[Tenant]
    end: str = ""


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
        """Make a tenant; policy lets only the platform's administrators here."""
        tenant = Tenant(tenant_id, display_name or tenant_id, plan or NO_PLAN, self._clock.now(), permissions)
        return await self._store.add(tenant, request) or tenant

    async def update(self, tenant_id: str, changes: Mapping[str, object], request: RequestKey = NO_KEY) -> Tenant:
        """Change the named fields of a tenant; policy lets only the platform's administrators here."""
        after = await self._store.update(tenant_id, lambda before: changed(before, changes), request, self._clock.now())
        if after is None:
            raise not_found("tenant", tenant_id)
        return after

    async def get(self, caller: Caller, tenant_id: str) -> Tenant:
        """One tenant that the caller may see."""
        tenant = await self._store.get(tenant_id) if _sees(caller, tenant_id) else None
        if tenant is None:
            raise not_found("tenant", tenant_id)
        return tenant

    async def list(self, caller: Caller, size: int, after: str) -> Page:
        """The tenants that the caller may see, with ids above `after`."""
        if not _sees_all(caller):
            own = await self._store.get(caller.tenant_id)
            return Page([own] if own is not None and own.tenant_id > after else [])
        found = await self._store.list(after, size + 1)
        if len(found) <= size:
            return Page(found)
        return Page(found[:size], found[size - 1].tenant_id)


def _sees_all(caller: Caller) -> bool:
    return PLATFORM_ADMIN in caller.roles or ("service" in caller.roles and not caller.actor)


def _sees(caller: Caller, tenant_id: str) -> bool:
    return tenant_id == caller.tenant_id or _sees_all(caller)
