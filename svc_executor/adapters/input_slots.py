"""Slots for attempts with large inputs, which are in memory from their download until the provider's call is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.runtime.slots import ProviderSlots

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mesh.clock import Clock

_SLOTS = 4
_POOL = "large inputs"


class LargeInputSlots:
    """`InputSlots` as the slots of a provider are: one for each tenant, and tenants take turns."""

    def __init__(self, clock: Clock, slots: int = _SLOTS) -> None:
        self._slots = ProviderSlots(slots, per_tenant=1, max_total_per_tenant=1, clock=clock)

    def enter(self, tenant_id: str) -> AbstractContextManager[None]:
        return self._slots.acquire(_POOL, tenant_id, named="the memory for large inputs")
