"""The PlantUML processes of one adapter: shared fairly between tenants, ended when idle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.fairness import FairSlots
from soma_providers.media.background_task import AdapterBackgroundTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from soma_providers.plantuml.process import PlantUmlProcess
    from soma_providers.port import Capacity


class PlantUmlProcesses:
    """Draws in up to `capacity.slots` processes; one that was not used for `idle_s` seconds is ended."""

    def __init__(self, make: Callable[[], PlantUmlProcess], capacity: Capacity, clock: Clock, idle_s: float) -> None:
        self._make = make
        self._clock = clock
        self._idle_s = idle_s
        self._slots = FairSlots("PlantUML", capacity.slots, per_tenant=capacity.per_tenant)
        self._idle: list[tuple[PlantUmlProcess, float]] = []
        self._background_task = AdapterBackgroundTask(self._end_idle, "plantuml-idle", clock)

    async def draw(self, source: str, tenant_id: str, timeout_s: float) -> str:
        """Give the SVG of one `@start…@end` block; the time counts from when a process begins with it."""
        async with self._slots.slot(tenant_id):
            await self._background_task.start()
            process = self._idle.pop()[0] if self._idle else self._make()
            try:
                return await process.draw(source, timeout_s)
            finally:
                self._idle.append((process, self._clock.monotonic()))

    async def aclose(self) -> None:
        """End all processes."""
        await self._background_task.aclose()
        idle, self._idle = self._idle, []
        for process, _ in idle:
            await process.aclose()

    async def _end_idle(self) -> None:
        while True:
            await self._clock.sleep(self._idle_s / 2)
            now = self._clock.monotonic()
            for entry in [entry for entry in self._idle if now - entry[1] >= self._idle_s]:
                self._idle.remove(entry)
                await entry[0].aclose()
