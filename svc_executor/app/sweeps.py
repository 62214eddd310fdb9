"""What the executor looks after by itself: lost runs, compensations that failed, results that nobody needs any more.

Each sweep does a bounded piece of work and may run in several processes at once.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh import context
from mesh.context import RequestContext
from mesh.errors import SomaError
from svc_executor.app.caller import caller_for
from svc_executor.domain.job import executor_identity

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.app.compensate import Compensator
    from svc_executor.app.ports import CallerTokens, JobStore, Meter, Runner
    from svc_executor.app.provider_calls import ProviderCalls
    from svc_executor.domain.timeline import Compensation

RUN_LOST = "its run was lost before it ended; resume it to go on"
_MAX_COUNTED = 10_000
_log = logging.getLogger(__name__)


class CloseLostRuns:
    """Closes RUNNING jobs that have no workflow. Each call looks at the next jobs, and begins anew after the last."""

    def __init__(self, store: JobStore, runner: Runner, meter: Meter) -> None:
        self._store = store
        self._runner = runner
        self._meter = meter
        self._after = ""

    async def __call__(self, limit: int = 100) -> int:
        """Look at so many jobs, and give how many were lost."""
        job_runs = await self._store.running(self._after, limit)
        closed = 0
        for job_run in job_runs:
            if not await self._runner.is_running(job_run):
                _log.warning("the run of job %s was lost and is closed", job_run.job_id)
                await self._runner.close(job_run, RUN_LOST)
                self._meter.lost_run()
                closed += 1
        self._after = job_runs[-1].job_id if len(job_runs) == limit else ""
        return closed


class RetryCompensations:
    """Tries again what could not be undone when its run ended, until it is done. `wait_s` is the time between tries."""

    def __init__(
        self,
        store: JobStore,
        compensator: Compensator,
        identity: CallerTokens,
        meter: Meter,
        clock: Clock,
        *,
        wait_s: float,
    ) -> None:
        self._store = store
        self._compensator = compensator
        self._identity = identity
        self._meter = meter
        self._clock = clock
        self._wait = timedelta(seconds=wait_s)

    async def __call__(self, limit: int = 50) -> int:
        """Try so many, and give how many are done."""
        now = self._clock.now()
        done = 0
        for entry in await self._store.claim_compensations(now - self._wait, now, limit):
            done += await self._retry(entry)
        self._meter.open_compensations(await self._store.open_compensations(_MAX_COUNTED))
        return done

    async def _retry(self, entry: Compensation) -> bool:
        async with self._store.transaction(entry.tenant_id, entry.job_id) as transaction:
            job = transaction.job
        if job.run != entry.run or not job.state.ended:
            return False
        try:
            caller = await caller_for(self._identity, executor_identity(entry.tenant_id))
            request = RequestContext(caller, job.request_id or job.job_id, job.trace_id, traceparent=job.traceparent)
            with context.use(request):
                await self._compensator(job, replace(entry, message=""))
        except SomaError as error:
            _log.warning("%s %s still cannot be undone: %s", entry.kind.value, entry.target_id, error.reason.value)
            return False
        return True


class EraseOrphanedOutcomes:
    """Deletes stored outcomes whose attempts ended `after_s` seconds ago or longer."""

    def __init__(self, store: JobStore, calls: ProviderCalls, clock: Clock, *, after_s: float) -> None:
        self._store = store
        self._calls = calls
        self._clock = clock
        self._after = timedelta(seconds=after_s)

    async def __call__(self, limit: int = 100) -> int:
        """Erase so many, and give how many there were."""
        orphaned = await self._store.orphaned_calls(self._clock.now() - self._after, limit)
        for call in orphaned:
            if await self._calls.delete(call.tenant_id, call.execution_id):
                await self._store.delete_call(call)
        return len(orphaned)
