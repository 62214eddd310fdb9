"""Who may have an asset judged now, and who waits for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.fairness import FairSlots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_WAIT_S = 2.0
_SERVICES = 1_024
"""Calls of services under way at once, of all tenants."""


class EvaluationSlots:
    """Grants the slots in which assets are measured.

    Callers wait for a slot as `slots` lets them. A service that calls for a job has a worker of its own busy meanwhile,
    which jobs of other tenants need: of a tenant's jobs only `per_tenant` calls wait beside as many that hold a slot,
    at most `wait_s` seconds. Others are refused at once, and the service calls again later.
    """

    def __init__(self, slots: FairSlots, per_tenant: int, wait_s: float = _WAIT_S) -> None:
        self._slots = slots
        self._services = FairSlots("the critic", _SERVICES, per_tenant=2 * per_tenant)
        self._wait_s = wait_s

    @asynccontextmanager
    async def slot(self, tenant_id: str, *, by_service: bool) -> AsyncIterator[None]:
        """Hold a slot for the enclosed block; raises SomaError(OVERLOADED) for a call that may not wait, or longer."""
        if not by_service:
            async with self._slots.slot(tenant_id):
                yield
        else:
            async with self._services.slot(tenant_id, 0), self._slots.slot(tenant_id, self._wait_s):
                yield
