"""Reads and sets for how many days a tenant's records are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_provenance.domain.retention import TenantRetention

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_provenance.app.ports import RetentionStore
    from svc_provenance.domain.retention import RetentionDays


class TenantRetentions:
    """Reads and sets retention. `platform` is in force for tenants without their own."""

    def __init__(self, store: RetentionStore, platform: RetentionDays, clock: Clock) -> None:
        self._store = store
        self._platform = platform
        self._clock = clock

    async def get(self, tenant_id: str) -> TenantRetention:
        """Returns the retention that is in force for a tenant."""
        return await self._store.get(tenant_id) or TenantRetention(self._platform)

    async def set(self, tenant_id: str, subject: str, days: RetentionDays) -> TenantRetention:
        """Sets a tenant's retention; INVALID_ARGUMENT naming the fields that are out of bounds."""
        days.validate()
        retention = TenantRetention(days, subject, self._clock.now())
        await self._store.save(tenant_id, retention)
        return retention
