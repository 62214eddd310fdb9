"""A pool of child processes that tenants share fairly."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, cast

from mesh.fairness import FairSlots
from mesh.lifecycle import background
from mesh.processes.child import Child
from mesh.processes.cpu_usage import CpuUsage
from mesh.processes.limits import ProcessEndedError, ProcessLimits, ResourceLimitError, TimeLimitError
from mesh.processes.priority import LOWEST_NICE
from mesh.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mesh.clock import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ProcessPool:
    """Runs functions in child processes, each call within limits; a call that exceeds one is killed, nothing else.

    Functions are module-level ones of modules that import little (never grpc); arguments and results are pickled.
    Children start with the first calls and are used again. The time limit of a call begins when a child begins it.
    Calls of tenants whose use is heavy run at the lowest priority, in children that nobody else is given. Pools
    that are given one `use` count together; otherwise each counts for itself.
    """

    def __init__(self, name: str, limits: ProcessLimits, clock: Clock, use: CpuUsage | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._use = use = use or CpuUsage(clock)
        self._slots = FairSlots(
            f"{name} processes",
            limits.processes,
            per_tenant=limits.per_tenant,
            waiting_per_tenant=limits.waiting_per_tenant,
            reserved=limits.processes // 2,
            is_low_priority=use.is_heavy,
        )
        self._idle: list[Child] = []
        self._calls = counter("process_pool_calls_total", "Calls of child processes by result.", ("pool", "result"))
        self._waiting = gauge("process_pool_waiting", "Calls that wait for a child process.", ("pool",)).labels(name)
        self._name = name

    @classmethod
    @asynccontextmanager
    async def open(
        cls, name: str, limits: ProcessLimits, clock: Clock, use: CpuUsage | None = None
    ) -> AsyncIterator[ProcessPool]:
        """Opens a pool; at the end all of its children are killed."""
        pool = cls(name, limits, clock, use)
        async with background(pool._end_idle, f"{name}-processes", clock=clock):
            try:
                yield pool
            finally:
                await pool._close()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, tenant_id: str, time_s: float | None = None) -> T:
        """The result of `function(*args)`, run for a tenant in a child process.

        Raises TimeLimitError, ResourceLimitError, ProcessEndedError, SomaError(OVERLOADED) when too many calls wait, or
        what the function raised. When the caller is cancelled, the child is killed.
        """
        self._waiting.set(self._slots.waiting + 1)
        async with self._slots.slot(tenant_id):
            self._waiting.set(self._slots.waiting)
            child = await self._take(lowered=self._use.is_heavy(tenant_id))
            result = "failed"
            try:
                with self._use.metered(tenant_id, child.running):
                    value = await child.call(function, args, min(time_s or self._limits.time_s, self._limits.time_s))
                result = "ok"
            except TimeLimitError:
                result = "time_limit"
                raise
            except ResourceLimitError:
                result = "memory_limit"
                raise
            except ProcessEndedError:
                result = "ended"
                raise
            except asyncio.CancelledError:
                result = "cancelled"
                raise
            finally:
                self._calls.labels(self._name, result).inc()
                await self._give_back(child)
            return cast("T", value)

    async def _take(self, *, lowered: bool) -> Child:
        """A child for a call, of lowered priority or not: an idle one if there is such a one."""
        while found := [child for child in self._idle if child.running.lowered == lowered]:
            self._idle.remove(found[-1])
            if found[-1].usable:
                return found[-1]
            await found[-1].kill()
        if self._idle and self._slots.in_use + len(self._idle) > self._limits.processes:
            await self._idle.pop(0).kill()
        # The child gives itself and its session this nice value, and must not raise what is lowered here.
        child = await Child.start(replace(self._limits, nice=LOWEST_NICE) if lowered else self._limits)
        if lowered:
            child.running.lower_priority()
        return child

    async def _give_back(self, child: Child) -> None:
        if child.usable:
            child.idle_since = self._clock.monotonic()
            self._idle.append(child)
        else:
            await child.kill()

    async def _end_idle(self) -> None:
        """End children that have had nothing to do for a while, for ever."""
        while True:
            await self._clock.sleep(self._limits.idle_s / 2)
            now = self._clock.monotonic()
            for child in [child for child in self._idle if now - child.idle_since >= self._limits.idle_s]:
                self._idle.remove(child)
                await child.kill()

    async def _close(self) -> None:
        idle, self._idle = self._idle, []
        for child in idle:
            await child.kill()
