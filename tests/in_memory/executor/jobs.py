"""Jobs in memory, with the same promises as in Postgres but for durability."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import not_found
from svc_executor.domain.errors import too_many_open
from svc_executor.domain.job import JobState
from svc_executor.domain.run import JobRun
from svc_executor.domain.timeline import EventType, JobDescription
from tests.in_memory.executor.job_transaction import JobRows, MemoryJobTransaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from svc_executor.app.ports import Submission
    from svc_executor.domain.job import Job, StepSummary
    from svc_executor.domain.provider_call import ProviderCall
    from svc_executor.domain.timeline import Compensation, Fact, JobEvent


class MemoryWakeup:
    """What one watcher waits for."""

    def __init__(self) -> None:
        self.notified = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.notified.wait()
        except TimeoutError:
            return False
        self.notified.clear()
        return True


class MemoryJobs:
    """A `JobStore`. `facts` are those of committed transactions, in order."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self._jobs: dict[str, JobRows] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._later_requests: dict[tuple[str, str], str] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wakeups: dict[str, list[MemoryWakeup]] = defaultdict(list)

    async def submit(self, submission: Submission) -> Job:
        job = submission.job
        key = (job.tenant_id, submission.key.request_id)
        if submission.key.request_id and key in self._requests:
            digest, job_id = self._requests[key]
            submission.key.require_same(digest)
            return self._jobs[job_id].job
        if len(self._unended(job.tenant_id)) >= submission.max_open:
            raise too_many_open(submission.max_open)
        rows = JobRows(job, submission.plan, {step.step_id: step for step in submission.steps})
        rows.events.append(replace(submission.first_event, sequence=1))
        self._jobs[job.job_id] = rows
        if submission.key.request_id:
            self._requests[key] = (submission.key.digest, job.job_id)
        return job

    @asynccontextmanager
    async def transaction(self, tenant_id: str, job_id: str) -> AsyncIterator[MemoryJobTransaction]:
        self._rows(tenant_id, job_id)
        async with self._locks[job_id]:
            transaction = MemoryJobTransaction(
                self._rows(tenant_id, job_id).copy(), dict(self._later_requests), self._unended
            )
            yield transaction
            grown = len(transaction.rows.events) > len(self._jobs[job_id].events)
            self._jobs[job_id] = transaction.rows
            self._later_requests |= transaction.requests
            self.facts.extend(transaction.facts)
        if grown:
            for wakeup in self._wakeups[job_id]:
                wakeup.notified.set()

    async def job(self, tenant_id: str, job_id: str) -> Job:
        return self._rows(tenant_id, job_id).job

    async def steps(self, tenant_id: str, job_id: str) -> list[StepSummary]:
        return [step.summary for step in self._rows(tenant_id, job_id).steps.values()]

    async def describe(self, tenant_id: str, job_id: str) -> JobDescription:
        rows = self._rows(tenant_id, job_id)
        undone = [entry for _, entry in sorted(rows.compensations.items())]
        made = [*rows.executions.values()]
        return JobDescription(rows.job, rows.plan, [*rows.steps.values()], made, [*rows.events], undone)

    async def page(self, tenant_id: str, state: JobState | None, before: str, limit: int) -> list[Job]:
        own = (rows.job for rows in self._jobs.values() if rows.job.tenant_id == tenant_id)
        fitting = (job for job in own if state in {None, job.state} and (not before or job.job_id < before))
        return sorted(fitting, key=lambda job: job.job_id, reverse=True)[:limit]

    async def events(self, tenant_id: str, job_id: str, after: int, limit: int) -> list[JobEvent]:
        return self._rows(tenant_id, job_id).events[after : after + limit]

    async def events_of_run(self, tenant_id: str, job_id: str) -> list[JobEvent]:
        events = self._rows(tenant_id, job_id).events
        starts = [each.sequence for each in events if each.type is EventType.JOB and each.job_state is JobState.RUNNING]
        return [each for each in events if each.sequence >= max(starts, default=0)]

    @asynccontextmanager
    async def wakeup(self, job_id: str) -> AsyncIterator[MemoryWakeup]:
        mine = MemoryWakeup()
        self._wakeups[job_id].append(mine)
        try:
            yield mine
        finally:
            self._wakeups[job_id].remove(mine)

    async def next_to_start(self, tenant_id: str, running: int) -> list[JobRun]:
        unended = self._unended(tenant_id)
        waiting = [job for job in unended if job.state is JobState.PENDING]
        free = max(0, running - (len(unended) - len(waiting)))
        return [JobRun(tenant_id, job.job_id, job.run) for job in waiting[:free]]

    async def waiting_tenants(self, after: str, before: datetime, limit: int) -> list[str]:
        tenants = sorted({rows.job.tenant_id for rows in self._jobs.values()})
        oldest = {
            tenant: next((job for job in self._unended(tenant) if job.state is JobState.PENDING), None)
            for tenant in tenants
            if tenant > after
        }
        return [tenant for tenant, job in oldest.items() if job is not None and job.created_at < before][:limit]

    def _unended(self, tenant_id: str) -> list[Job]:
        own = (rows.job for rows in self._jobs.values() if rows.job.tenant_id == tenant_id)
        return sorted((job for job in own if not job.state.ended), key=lambda job: job.job_id)

    async def calls(self, tenant_id: str, job_id: str) -> list[ProviderCall]:
        return list(self._rows(tenant_id, job_id).calls.values())

    async def orphaned_calls(self, before: datetime, limit: int) -> list[ProviderCall]:
        running = {
            each.execution_id for rows in self._jobs.values() for each in rows.executions.values() if not each.ended
        }
        left = [
            call
            for rows in self._jobs.values()
            for call in rows.calls.values()
            if call.started_at < before and call.execution_id not in running
        ]
        return sorted(left, key=lambda call: call.started_at)[:limit]

    async def delete_call(self, call: ProviderCall) -> None:
        self._jobs[call.job_id].calls.pop(call.execution_id, None)

    async def running(self, after: str, limit: int) -> list[JobRun]:
        found = [rows.job for rows in self._jobs.values() if rows.job.state is JobState.RUNNING]
        ordered = sorted((job for job in found if job.job_id > after), key=lambda job: job.job_id)
        return [JobRun(job.tenant_id, job.job_id, job.run) for job in ordered[:limit]]

    async def claim_compensations(self, before: datetime, now: datetime, limit: int) -> list[Compensation]:
        due = sorted(self._open(ended=True, before=before), key=lambda entry: entry.updated_at)[:limit]
        claimed = [replace(entry, updated_at=now) for entry in due]
        for entry in claimed:
            self._jobs[entry.job_id].compensations[entry.run, entry.position] = entry
        return claimed

    async def open_compensations(self, limit: int) -> int:
        return min(len(self._open()), limit)

    def _open(self, *, ended: bool = False, before: datetime | None = None) -> list[Compensation]:
        """Undoings that are not done; with `ended` only those of ended runs."""
        return [
            replace(entry, tenant_id=rows.job.tenant_id)
            for rows in self._jobs.values()
            for entry in rows.compensations.values()
            if not entry.done
            and (not ended or (rows.job.state.ended and rows.job.run == entry.run))
            and (before is None or entry.updated_at < before)
        ]

    def _rows(self, tenant_id: str, job_id: str) -> JobRows:
        rows = self._jobs.get(job_id)
        if rows is None or rows.job.tenant_id != tenant_id:
            raise not_found("job", job_id)
        return rows
