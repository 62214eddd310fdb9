"""Starting a run: what there is to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from svc_executor.domain.job import JobState
from svc_executor.domain.run import JobRun, RunSetup, StepInfo

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.app.ports import JobStore
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Execution, StepSummary


@dataclass(frozen=True)
class RunLimits:
    """Limits of every run: steps at once, reworks after a failed evaluation, seconds when the plan sets none, attempts
    of one step.
    """

    parallel_steps: int = 4
    max_rework: int = 2
    max_seconds: float = 3_600.0
    max_attempts: int = 20


class OpenRun:
    """Puts a job into RUNNING and says how far it is."""

    def __init__(self, store: JobStore, recorder: Recorder, clock: Clock, limits: RunLimits) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._limits = limits

    async def __call__(self, job_run: JobRun) -> RunSetup:
        """The state to run from; nothing to do for an ended job or another run of it."""
        async with self._store.transaction(job_run.tenant_id, job_run.job_id) as transaction:
            job = transaction.job
            if job.run != job_run.run or job.state.ended:
                return RunSetup(proceed=False, steps=[])
            if job.state is JobState.PENDING:
                now = self._clock.now()
                job = replace(job, state=JobState.RUNNING, started_at=job.started_at or now)
                await self._recorder.record_job_changed(transaction, job, "the job runs")
            last = {execution.step_id: execution for execution in await transaction.last_executions()}
            steps = [_step_info(step, last.get(step.step_id)) for step in await transaction.step_summaries()]
        return RunSetup(
            proceed=True,
            steps=steps,
            parallel=self._limits.parallel_steps,
            max_rework=self._limits.max_rework,
            capped=job.options.max_cost_micro_usd > 0,
            seconds_left=job.options.max_duration_s or self._limits.max_seconds,
            cancel_reason=job.cancel_reason,
            max_attempts=self._limits.max_attempts,
        )


def _step_info(step: StepSummary, last: Execution | None) -> StepInfo:
    """A step as its run begins; a last attempt without a recorded result is taken up again under its number."""
    next_attempt = 1 if last is None else last.attempt + int(last.ended)
    return StepInfo(
        step_id=step.step_id,
        depends_on=list(step.task.depends_on),
        state=step.state.value,
        next_attempt=next_attempt,
        gate=step.task.requires_evaluation,
        on_failure=step.task.on_failure.value,
    )
