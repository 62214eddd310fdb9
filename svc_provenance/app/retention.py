"""Reading and setting for how long a tenant's records are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from svc_provenance.domain.retention import TenantRetention

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_provenance.domain.retention import Days


class TermsStore(Protocol):
    """Keeps the days of tenants that have their own."""

    async def find(self, tenant_id: str) -> TenantRetention | None:
        """A tenant's own; None for none."""

    async def save(self, tenant_id: str, retention: TenantRetention) -> None:
        """Replaces a tenant's own, and tells the audit."""


class RetentionDays:
    """Reads and sets the days. `platform` holds for tenants that set none."""

    def __init__(self, store: TermsStore, platform: Days, clock: Clock) -> None:
        self._store = store
        self._platform = platform
        self._clock = clock

    async def of(self, tenant_id: str) -> TenantRetention:
        """The days that hold for a tenant."""
        return await self._store.find(tenant_id) or TenantRetention(self._platform)

    async def set(self, tenant_id: str, subject: str, days: Days) -> TenantRetention:
        """Sets a tenant's days; INVALID_ARGUMENT naming the fields that are out of bounds."""
        days.check()
        retention = TenantRetention(days, subject, self._clock.now())
        await self._store.save(tenant_id, retention)
        return retention
