"""Slots for attempts with large inputs, which are in memory from their download until the provider's call is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_executor.adapters.places import Places

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mesh.clock import Clock

_SLOTS = 4
_POOL = "large inputs"


class LargeInputSlots:
    """`InputSlots` as places at a provider are: one for a tenant, and tenants take turns."""

    def __init__(self, clock: Clock, slots: int = _SLOTS) -> None:
        self._places = Places(slots, per_tenant=1, in_all=1, clock=clock)

    def enter(self, tenant_id: str) -> AbstractContextManager[None]:
        """See the port."""
        return self._places.enter(_POOL, tenant_id, named="the memory for large inputs")
