"""Records changes of a job: its rows, the timeline and the events for other services, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from svc_executor.domain.job import StepState
from svc_executor.domain.timeline import EventType, ExecutionFact, JobEvent, JobFact, StepFact

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.app.ports import JobTransaction
    from svc_executor.domain.job import Execution, Job, Step


@dataclass(frozen=True)
class TimelineEntry:
    """What an entry of the timeline says beyond the state of its job."""

    type: EventType
    message: str
    step: Step | None = None
    execution: Execution | None = None
    asset_ids: tuple[str, ...] = ()
    terminal: bool = False


class Recorder:
    """Records changes in rows, timeline and events together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def add_entry(self, transaction: JobTransaction, entry: TimelineEntry) -> None:
        """Add an entry to the timeline."""
        await transaction.append(self.event(transaction.job, entry))

    def event(self, job: Job, entry: TimelineEntry) -> JobEvent:
        """Returns the event of an entry; its sequence is set when it is appended."""
        step, execution = entry.step, entry.execution
        return JobEvent(
            sequence=0,
            type=entry.type,
            job_id=job.job_id,
            message=entry.message,
            job_state=job.state,
            progress=job.progress,
            occurred_at=self._clock.now(),
            step_id=step.step_id if step else "",
            step_state=step.state if step else None,
            capability_id=execution.capability.capability_id if execution else (step.capability_id if step else ""),
            asset_ids=entry.asset_ids,
            attempt=execution.attempt if execution else 0,
            terminal=entry.terminal,
        )

    async def record_job_changed(self, transaction: JobTransaction, job: Job, message: str) -> None:
        """Save a job in a new state. Where a run of it begins, the fact lists all of its steps."""
        begins = job.run > transaction.job.run or transaction.job.started_at is None
        await transaction.save_job(job)
        await self.add_entry(transaction, TimelineEntry(EventType.JOB, message, terminal=job.state.ended))
        await transaction.publish(JobFact(job, await transaction.step_summaries() if begins else ()))

    @staticmethod
    async def record_step_started(transaction: JobTransaction, step: Step) -> None:
        """Save a step whose next attempt begins."""
        await transaction.save_step(step)
        await transaction.publish(StepFact(step))

    async def record_step_changed(
        self, transaction: JobTransaction, step: Step, message: str, execution: Execution | None = None
    ) -> None:
        """Save a step in a new state."""
        before = await transaction.step(step.step_id)
        await transaction.save_step(step)
        ended = int(step.state.ended) - int(before.state.ended)
        if ended:
            await transaction.save_job(replace(transaction.job, steps_ended=transaction.job.steps_ended + ended))
        await self.add_entry(transaction, TimelineEntry(EventType.STEP, message, step, execution, step.asset_ids))
        await transaction.publish(StepFact(step))

    async def record_cost(self, transaction: JobTransaction, execution: Execution) -> None:
        """Add what an attempt cost to its step and to its job."""
        if execution.cost_micro_usd:
            step = await transaction.step(execution.step_id)
            await transaction.save_step(replace(step, cost_micro_usd=step.cost_micro_usd + execution.cost_micro_usd))
            await transaction.save_job(
                replace(transaction.job, cost_micro_usd=transaction.job.cost_micro_usd + execution.cost_micro_usd)
            )

    async def record_accepted(self, transaction: JobTransaction, execution: Execution) -> None:
        """Record that the result of an attempt is the result of its step."""
        step = await transaction.step(execution.step_id)
        changed = replace(
            step,
            state=StepState.SUCCEEDED,
            asset_ids=execution.asset_ids,
            text=execution.text,
            capability_id=execution.capability.capability_id,
            message="",
            accepted_attempt=execution.attempt,
            quality_score=execution.quality_score,
        )
        score = f", quality {execution.quality_score:.2f}" if execution.quality_score is not None else ""
        await self.record_step_changed(transaction, changed, f"{step.step_id} is done{score}", execution)

    async def publish_end(self, transaction: JobTransaction, execution: Execution) -> Execution:
        """Publish, once, that an attempt ended, as soon as its cost is known."""
        if execution.reported or not execution.cost_known:
            return execution
        updated = replace(execution, reported=True)
        await transaction.save_execution(updated)
        await transaction.publish(ExecutionFact(updated, transaction.job.owner.subject))
        return updated
