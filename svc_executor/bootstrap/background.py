"""Work that the executor does by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.lifecycle import background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.chassis import Chassis
    from svc_executor.app.erasure import EraseTexts
    from svc_executor.app.starting import StartPendingJobs
    from svc_executor.app.sweeps import CloseLostRuns, EraseOrphanedOutcomes, RetryCompensations


@dataclass(frozen=True)
class Sweeps:
    """What is swept."""

    start_pending: StartPendingJobs
    close_lost_runs: CloseLostRuns
    retry_compensations: RetryCompensations
    erase_orphaned_outcomes: EraseOrphanedOutcomes
    erase_texts: EraseTexts


async def start_sweeps(chassis: Chassis, sweeps: Sweeps, *, start_after_s: float, interval_s: float) -> None:
    """Start jobs that wait, now and every `start_after_s` seconds; do the rest every `interval_s` seconds.

    Texts are erased sooner when an asset is marked as gone.
    """

    async def start_pending() -> None:
        await sweeps.start_pending(chassis.clock.now() - timedelta(seconds=start_after_s))

    async def start_sweep(
        name: str,
        sweep: Callable[[], Awaitable[object]],
        pause_s: float,
        pause: Callable[[float], Awaitable[object]] = chassis.clock.sleep,
    ) -> None:
        async def run() -> None:
            while True:
                await sweep()
                await pause(pause_s)

        await chassis.enter(background(run, name, clock=chassis.clock))

    await start_sweep("start-waiting-jobs", start_pending, start_after_s)
    await start_sweep("close-lost-runs", sweeps.close_lost_runs, interval_s)
    await start_sweep("retry-compensations", sweeps.retry_compensations, interval_s)
    await start_sweep("erase-left-results", sweeps.erase_orphaned_outcomes, interval_s)
    await start_sweep("erase-texts", sweeps.erase_texts, interval_s, sweeps.erase_texts.wait)
    await start_sweep("count-unfinished-erasures", sweeps.erase_texts.count_unfinished, interval_s)
