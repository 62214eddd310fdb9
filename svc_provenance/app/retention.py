"""Reading and setting for how long a tenant's records are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_provenance.domain.retention import TenantRetention

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_provenance.app.ports import TermsStore
    from svc_provenance.domain.retention import Days


class RetentionDays:
    """Reads and sets the days. `platform` holds for tenants that set none."""

    def __init__(self, store: TermsStore, platform: Days, clock: Clock) -> None:
        self._store = store
        self._platform = platform
        self._clock = clock

    async def get(self, tenant_id: str) -> TenantRetention:
        """The days that hold for a tenant."""
        return await self._store.find(tenant_id) or TenantRetention(self._platform)

    async def set(self, tenant_id: str, subject: str, days: Days) -> TenantRetention:
        """Sets a tenant's days; INVALID_ARGUMENT naming the fields that are out of bounds."""
        days.check()
        retention = TenantRetention(days, subject, self._clock.now())
        await self._store.save(tenant_id, retention)
        return retention
