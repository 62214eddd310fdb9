"""Computations in threads, whose callers wait for them even when they are cancelled; one of each tenant at a time."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from mesh.fairness import FairSlots

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class ThreadSlots:
    """Runs calls in threads: at most `slots` at once, one of a tenant at a time, waiting tenants in turn."""

    def __init__(self, name: str, slots: int = 2, *, waiting_per_tenant: int = 256) -> None:
        self._slots = FairSlots(name, slots, per_tenant=1, waiting_per_tenant=waiting_per_tenant)

    @property
    def in_use(self) -> int:
        """How many calls run now."""
        return self._slots.in_use

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return self._slots.waiting

    async def run(self, tenant_id: str, call: Callable[[], T]) -> T:
        """What the call returns; raises SomaError(OVERLOADED) when too many wait.

        A thread cannot be cancelled, so the slot of a cancelled call is held until its thread is done.
        """
        async with self._slots.slot(tenant_id):
            return await run_in_thread(call)


async def run_in_thread(call: Callable[[], T]) -> T:
    """What a call returns. A caller that is cancelled ends once the thread is done, and holds its slots until then."""
    thread = asyncio.get_running_loop().run_in_executor(None, copy_context().run, call)
    try:
        return await asyncio.shield(thread)
    finally:
        await asyncio.wait([thread])
