"""Starting runs: so many of each tenant at once, the others in the order in which their jobs were made."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from svc_executor.domain.run import JobRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from svc_executor.app.ports import JobStore, Runner
    from svc_executor.domain.job import Job

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobLimits:
    """How many jobs of one tenant run at once, and how many may be open: those that run and those that wait.

    `heavy_running` is the first while the tenant's use of the processor is heavy.
    """

    running: int = 16
    heavy_running: int = 2
    open: int = 1_000


class StartJobs:
    """Starts those jobs of a tenant whose turn it is. A start that fails is made up for by `StartPendingJobs`."""

    def __init__(
        self,
        store: JobStore,
        runner: Runner,
        limits: JobLimits = JobLimits(),
        is_heavy: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._store = store
        self._runner = runner
        self._limits = limits
        self._is_heavy = is_heavy

    @property
    def max_open(self) -> int:
        """How many jobs of a tenant may be open."""
        return self._limits.open

    async def start(self, job: Job) -> None:
        """Start a job if it is its turn; it is safe in the store either way."""
        job_run = JobRun(job.tenant_id, job.job_id, job.run)
        try:
            if job_run in await self._store.next_to_start(job.tenant_id, self._running(job.tenant_id)):
                await self._runner.start(job_run)
        except SomaError as error:
            _log.warning("job %s is started later: %s", job.job_id, error.reason.value)

    async def start_next(self, tenant_id: str) -> int:
        """Start all jobs of a tenant whose turn it is, and give how many there were."""
        job_runs = await self._store.next_to_start(tenant_id, self._running(tenant_id))
        for job_run in job_runs:
            await self._runner.start(job_run)
        return len(job_runs)

    def _running(self, tenant_id: str) -> int:
        """How many jobs of the tenant may run now."""
        return self._limits.heavy_running if self._is_heavy(tenant_id) else self._limits.running

    async def start_after(self, job: Job) -> None:
        """Start what waited for a job that has ended."""
        try:
            await self.start_next(job.tenant_id)
        except SomaError as error:
            _log.warning("jobs that waited for %s are started later: %s", job.job_id, error.reason.value)


class StartPendingJobs:
    """Starts jobs whose turn it is and whose start was lost: a process or the runner was down at that moment.

    Each call looks at the next tenants, and begins anew after the last. When jobs of a tenant cannot be started, the
    next call goes on after it.
    """

    def __init__(self, store: JobStore, starting: StartJobs) -> None:
        self._store = store
        self._starting = starting
        self._after = ""

    async def __call__(self, before: datetime, limit: int = 100) -> int:
        """Start jobs of so many tenants with jobs that wait since before a moment, and tell how many there were."""
        tenants = await self._store.waiting_tenants(self._after, before, limit)
        started = 0
        for tenant_id in tenants:
            self._after = tenant_id
            started += await self._starting.start_next(tenant_id)
        if len(tenants) < limit:
            self._after = ""
        return started
