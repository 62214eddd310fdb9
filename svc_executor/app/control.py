"""Stopping jobs, and running them again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import PreconditionViolation, Reason, SomaError
from svc_executor.app.submit import start
from svc_executor.domain.job import JobState, Step, StepState
from svc_executor.domain.run import JobOrder

if TYPE_CHECKING:
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Job
    from svc_executor.domain.peers import Assets
    from svc_executor.domain.ports import JobStore, Runner


class CancelJob:
    """Asks a job to stop. The wish is recorded first, so that a run that starts later finds it."""

    def __init__(self, store: JobStore, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    async def __call__(self, tenant_id: str, job_id: str, reason: str) -> Job:
        """The job as it is now; an ended one is left alone."""
        async with self._store.work(tenant_id, job_id) as work:
            if work.job.state.ended:
                return work.job
            wish = reason or "cancelled by the caller"
            if work.job.cancel_reason is None:
                await work.save_job(replace(work.job, cancel_reason=wish))
            job = work.job
        await self._runner.cancel(JobOrder(tenant_id, job_id, job.run), wish)
        return job


class ResumeJob:
    """Runs a failed or partial job again. Steps that succeeded and still have their assets keep their results."""

    def __init__(self, store: JobStore, runner: Runner, assets: Assets, recorder: Recorder) -> None:
        self._store = store
        self._runner = runner
        self._assets = assets
        self._recorder = recorder

    async def __call__(self, tenant_id: str, job_id: str) -> Job:
        """The job in its new run; FAILED_PRECONDITION unless it is FAILED or PARTIAL."""
        _check(await self._store.job(tenant_id, job_id))
        steps = await self._store.steps(tenant_id, job_id)
        lost = {step.step_id for step in steps if not await self._kept(step)}
        async with self._store.work(tenant_id, job_id) as work:
            _check(work.job)
            for step in await work.steps():
                if step.step_id in lost:
                    await work.save_step(_fresh(step))
            again = replace(
                work.job,
                state=JobState.PENDING,
                run=work.job.run + 1,
                steps_ended=len(steps) - len(lost),
                message="",
                cancel_reason=None,
                ended_at=None,
            )
            kept = f"{len(steps) - len(lost)} of {len(steps)} steps keep their results"
            await self._recorder.job_changed(work, again, f"the job runs again; {kept}")
        await start(self._runner, again)
        return again

    async def _kept(self, step: Step) -> bool:
        if step.state is not StepState.SUCCEEDED:
            return False
        for asset_id in step.asset_ids:
            if not await self._assets.readable(asset_id):
                return False
        return True


def _fresh(step: Step) -> Step:
    """The step before its first attempt of the new run; what it cost stays."""
    return Step(step.job_id, step.task, attempts=step.attempts, cost_micro_usd=step.cost_micro_usd)


def _check(job: Job) -> None:
    if not job.state.resumable:
        raise SomaError(
            Reason.FAILED_PRECONDITION,
            f"job {job.job_id} is {job.state}; only a FAILED or PARTIAL job can be resumed",
            preconditions=[PreconditionViolation("JOB_STATE", job.job_id, "wait until it is FAILED or PARTIAL")],
        )
