"""Work that the executor does by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.lifecycle import background

if TYPE_CHECKING:
    from mesh.chassis import Chassis
    from svc_executor.app.submit import StartWaiting


async def start_sweep(mesh: Chassis, start_waiting: StartWaiting, age_s: float) -> None:
    """Start jobs that wait, now and every `age_s` seconds."""

    async def sweep() -> None:
        while True:
            await start_waiting(mesh.clock.now() - timedelta(seconds=age_s))
            await mesh.clock.sleep(age_s)

    await mesh.enter(background(sweep, "start-waiting-jobs", clock=mesh.clock))
