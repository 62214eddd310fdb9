"""Stopping jobs, and running them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.errors import PreconditionViolation, Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey
from svc_executor.domain.errors import resumed_too_often, too_many_open
from svc_executor.domain.job import JobState, Step, StepState
from svc_executor.domain.run import JobRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_executor.app.ports import Assets, JobStore, JobTransaction, Runner
    from svc_executor.app.recorder import Recorder
    from svc_executor.app.starting import StartJobs
    from svc_executor.domain.job import CallerIdentity, Job, StepSummary

_RETRY_AFTER_S = 5.0
"""How soon a lost run that is being closed may be resumed, in seconds."""


@dataclass(frozen=True)
class ControlRequest:
    """Who wants what of which job. `key` is that of the request as it was received."""

    caller: CallerIdentity
    job_id: str
    key: RequestKey = NO_KEY
    reason: str = ""

    @property
    def tenant_id(self) -> str:
        """Tenant of the caller."""
        return self.caller.tenant_id


class CancelJob:
    """Asks a job to stop. The wish is recorded first, so that a run that starts later finds it."""

    def __init__(self, store: JobStore, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    async def __call__(self, request: ControlRequest) -> Job:
        """The job as it is now; an ended one is left alone. One whose run was lost is run again, to close."""
        async with self._store.transaction(request.tenant_id, request.job_id) as transaction:
            is_new = await transaction.record_request(request.key)
            if transaction.job.state.ended:
                return transaction.job
            reason = request.reason or "cancelled by the caller"
            if is_new and transaction.job.cancel_reason is None:
                await transaction.save_job(replace(transaction.job, cancel_reason=reason))
            job = transaction.job
        if job.cancel_reason is not None:
            await self._runner.cancel(JobRun(job.tenant_id, job.job_id, job.run), job.cancel_reason)
        return job


class ResumeJob:
    """Runs a failed or partial job again, or one whose run was lost, on behalf of whoever resumes it.

    Steps that succeeded and whose assets the job still holds keep their results. `max_resumes` bounds what one job can
    come to: each run adds attempts and entries of the timeline.
    """

    def __init__(
        self,
        store: JobStore,
        runner: Runner,
        assets: Assets,
        recorder: Recorder,
        starting: StartJobs,
        *,
        max_resumes: int = 10,
    ) -> None:
        self._store = store
        self._runner = runner
        self._starting = starting
        self._assets = assets
        self._recorder = recorder
        self._max_resumes = max_resumes

    async def __call__(self, request: ControlRequest) -> Job:
        """The job in its new run; FAILED_PRECONDITION unless it is FAILED or PARTIAL, or RUNNING without a workflow.

        FAILED_PRECONDITION also when the job was resumed as often as it may be.
        RATE_LIMITED when the tenant has as many open jobs as it may have.
        """
        before = await self._store.job(request.tenant_id, request.job_id)
        workflow_lost = before.state is JobState.RUNNING and not await self._runner.is_running(_job_run(before))
        if not request.key.request_id:
            self._check(before, before.run, workflow_lost=workflow_lost)
        steps = await self._store.steps(request.tenant_id, request.job_id)
        to_rerun = await self._steps_to_rerun(request.job_id, steps)
        async with self._store.transaction(request.tenant_id, request.job_id) as transaction:
            if not await transaction.record_request(request.key):
                return transaction.job
            self._check(transaction.job, before.run, workflow_lost=workflow_lost)
            await _check_not_closing(transaction)
            if transaction.job.state.ended and await transaction.has_open(self._starting.max_open):
                raise too_many_open(self._starting.max_open)
            resumed = await self._reset_for_next_run(transaction, request.caller, to_rerun)
            text = f"{len(steps) - len(to_rerun)} of {len(steps)} steps keep their results"
            cause = "its run was lost, and the job runs again" if workflow_lost else "the job runs again"
            await self._recorder.record_job_changed(transaction, resumed, f"{cause}; {text}")
        await self._starting.start(resumed)
        return resumed

    def _check(self, job: Job, run: int, *, workflow_lost: bool) -> None:
        _check_state(job, run, workflow_lost=workflow_lost)
        if job.run > self._max_resumes:
            raise resumed_too_often(job.job_id, self._max_resumes)

    async def _steps_to_rerun(self, job_id: str, steps: Sequence[StepSummary]) -> set[str]:
        """The steps that did not succeed, and those whose assets the job gave up: they can go with another holder."""
        succeeded = [step for step in steps if step.state is StepState.SUCCEEDED]
        stored = {asset_id for step in succeeded for asset_id in step.asset_ids}
        workflow_lost = stored.difference(await self._assets.list_held(job_id)) if stored else stored
        reused = {step.step_id for step in succeeded if workflow_lost.isdisjoint(step.asset_ids)}
        return {step.step_id for step in steps} - reused

    @staticmethod
    async def _reset_for_next_run(transaction: JobTransaction, caller: CallerIdentity, to_rerun: set[str]) -> Job:
        """The job before its next run, which undoes what the last one left: assets that it holds, open reservations."""
        for step in await transaction.steps():
            if step.step_id in to_rerun:
                await transaction.save_step(_reset_step(step))
        for entry in await transaction.unfinished_compensations():
            await transaction.save_compensation(replace(entry, done=True, message="the job was resumed"))
        job = transaction.job
        return replace(
            job,
            state=JobState.PENDING,
            run=job.run + 1,
            steps_ended=job.steps_total - len(to_rerun),
            message="",
            cancel_reason=None,
            ended_at=None,
            resumed_by=caller,
        )


def _reset_step(step: Step) -> Step:
    """The step before its first attempt of the new run; what it cost stays."""
    return Step(step.job_id, step.task, attempts=step.attempts, cost_micro_usd=step.cost_micro_usd)


def _job_run(job: Job) -> JobRun:
    return JobRun(job.tenant_id, job.job_id, job.run)


async def _check_not_closing(transaction: JobTransaction) -> None:
    """CONFLICT while what a lost run leaves is being undone: the next run would build upon it."""
    job = transaction.job
    if not job.state.ended and await transaction.compensations(job.run):
        text = f"the lost run of job {job.job_id} is being closed; try again in a moment"
        raise SomaError(Reason.CONFLICT, text, retry_after_s=_RETRY_AFTER_S)


def _check_state(job: Job, run: int, *, workflow_lost: bool) -> None:
    if job.state.resumable or (workflow_lost and job.state is JobState.RUNNING and job.run == run):
        return
    raise SomaError(
        Reason.FAILED_PRECONDITION,
        f"job {job.job_id} is {job.state}; only a FAILED or PARTIAL job, or one whose run was lost, can be resumed",
        preconditions=[
            PreconditionViolation(
                "JOB_STATE", job.job_id, "submit its plan anew" if job.state.ended else "wait until it has ended"
            )
        ],
    )
