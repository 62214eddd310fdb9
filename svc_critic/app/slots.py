"""Limits of the evaluations that run or wait at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.fairness import FairSlots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_WAIT_S = 2.0
_MAX_SERVICE_CALLS = 1_024
"""Calls of services that run or wait at once, of all tenants."""


class EvaluationSlots:
    """Slots for measuring assets.

    Callers wait for a slot within the limits of `slots`. A service that calls for a job occupies one of its own workers
    meanwhile, which jobs of other tenants need: for the jobs of a tenant at most `per_tenant` calls wait, for at most
    `wait_s` seconds, while as many have a slot. Others are rejected at once, and the service retries later.
    """

    def __init__(self, slots: FairSlots, per_tenant: int, wait_s: float = _WAIT_S) -> None:
        self._slots = slots
        self._service_slots = FairSlots("the critic", _MAX_SERVICE_CALLS, per_tenant=2 * per_tenant)
        self._wait_s = wait_s

    @asynccontextmanager
    async def slot(self, tenant_id: str, *, by_service: bool) -> AsyncIterator[None]:
        """Holds a slot during the enclosed block; OVERLOADED for a call that may not wait, or not any longer."""
        if not by_service:
            async with self._slots.slot(tenant_id):
                yield
        else:
            async with self._service_slots.slot(tenant_id, 0), self._slots.slot(tenant_id, self._wait_s):
                yield
