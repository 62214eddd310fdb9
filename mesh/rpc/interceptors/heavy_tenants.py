"""Lets the calls of tenants that keep the processors busy begin one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.identity import SYSTEM_TENANT
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.interceptors.large_requests import calls_waiting

if TYPE_CHECKING:
    from mesh.fairness import FairSlots
    from mesh.processes.cpu_usage import CpuUsage
    from mesh.rpc.interceptor import Continuation

TURN_S = 0.05
"""Longest time that counts of a call: one that takes longer waits for something else than the interpreter."""
PAUSES = 2
"""How many times as long as a turn is the pause after it: of each second others have two thirds."""


class HeavyTenants(Interceptor):
    """A call of a tenant with heavy use begins once the one before has ended, or was served for 50 ms, and a pause.

    Such tenants take turns, whichever server of the process they call, so that a burst of their calls is never in the
    event loop at once, where everybody else's wait between them. The pause grows with the time that a call takes. While
    no other tenant calls, nothing waits. Nor do calls of services, for themselves or on a tenant's behalf: the call
    from outside to which such a call belongs has waited.
    """

    name = "heavy_tenants"
    # The time that a call waits is a part of its deadline.
    after = ("tenancy", "authorization", "deadline")
    before = ("large_requests", "validation")

    def __init__(self, use: CpuUsage) -> None:
        self._use = use
        self._waiting = calls_waiting("heavy_tenant")

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call when it is its turn; OVERLOADED when too many wait."""
        caller = call.caller
        if caller is None or caller.actor or caller.tenant_id == SYSTEM_TENANT:
            return await continuation(call)
        if not self._use.is_heavy(caller.tenant_id):
            self._use.record_light_tenant_call()
            return await continuation(call)
        if not self._use.is_shared:
            return await continuation(call)
        turn = _Turn(self._use.turns, caller.tenant_id)
        with self._waiting.track_inprogress():
            await turn.begin()
        try:
            return await continuation(call)
        finally:
            turn.end()


class _Turn:
    """A turn that ends after `TURN_S` seconds by itself."""

    def __init__(self, turns: FairSlots, tenant_id: str) -> None:
        self._turns = turns
        self._tenant_id = tenant_id
        self._loop = asyncio.get_running_loop()
        self._began_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Wait for it."""
        await self._turns.acquire(self._tenant_id)
        self._began_s = self._loop.time()
        self._timer = self._loop.call_later(TURN_S, self.end)

    def end(self) -> None:
        """Let the next one begin after the pause, once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            pause_s = PAUSES * (self._loop.time() - self._began_s)
            self._loop.call_later(pause_s, self._turns.release, self._tenant_id)
