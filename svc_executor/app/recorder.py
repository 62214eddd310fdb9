"""Writes what happens to a job: the row, the entry of the timeline and the fact for others, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from svc_executor.domain.job import StepState
from svc_executor.domain.timeline import EventType, ExecutionFact, JobEvent, JobFact, StepFact

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.app.ports import Work
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
    """Keeps rows, timeline and facts in step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def note(self, work: Work, note: TimelineEntry) -> None:
        """Add an entry to the timeline."""
        await work.append(self.event(work.job, note))

    def event(self, job: Job, note: TimelineEntry) -> JobEvent:
        """The entry that a note makes; its sequence is given when it is appended."""
        step, execution = note.step, note.execution
        return JobEvent(
            sequence=0,
            type=note.type,
            job_id=job.job_id,
            message=note.message,
            job_state=job.state,
            progress=job.progress,
            occurred_at=self._clock.now(),
            step_id=step.step_id if step else "",
            step_state=step.state if step else None,
            capability_id=execution.chosen.capability_id if execution else (step.capability_id if step else ""),
            asset_ids=note.asset_ids,
            attempt=execution.attempt if execution else 0,
            terminal=note.terminal,
        )

    async def job_changed(self, work: Work, job: Job, message: str) -> None:
        """Save a job in a new state. Where a run of it begins, the fact lists all of its steps."""
        begins = job.run > work.job.run or work.job.started_at is None
        await work.save_job(job)
        await self.note(work, TimelineEntry(EventType.JOB, message, terminal=job.state.ended))
        await work.publish(JobFact(job, await work.step_summaries() if begins else ()))

    @staticmethod
    async def step_began(work: Work, step: Step) -> None:
        """Save a step whose next attempt begins."""
        await work.save_step(step)
        await work.publish(StepFact(step))

    async def step_changed(self, work: Work, step: Step, message: str, execution: Execution | None = None) -> None:
        """Save a step in a new state."""
        before = await work.step(step.step_id)
        await work.save_step(step)
        ended = int(step.state.ended) - int(before.state.ended)
        if ended:
            await work.save_job(replace(work.job, steps_ended=work.job.steps_ended + ended))
        await self.note(work, TimelineEntry(EventType.STEP, message, step, execution, step.asset_ids))
        await work.publish(StepFact(step))

    async def spent(self, work: Work, execution: Execution) -> None:
        """Add what an attempt cost to its step and to its job."""
        if execution.cost_micro_usd:
            step = await work.step(execution.step_id)
            await work.save_step(replace(step, cost_micro_usd=step.cost_micro_usd + execution.cost_micro_usd))
            await work.save_job(replace(work.job, cost_micro_usd=work.job.cost_micro_usd + execution.cost_micro_usd))

    async def accepted(self, work: Work, execution: Execution) -> None:
        """Make the result of an attempt the result of its step."""
        step = await work.step(execution.step_id)
        changed = replace(
            step,
            state=StepState.SUCCEEDED,
            asset_ids=execution.asset_ids,
            text=execution.text,
            capability_id=execution.chosen.capability_id,
            message="",
            accepted_attempt=execution.attempt,
            quality_score=execution.quality_score,
        )
        score = f", quality {execution.quality_score:.2f}" if execution.quality_score is not None else ""
        await self.step_changed(work, changed, f"{step.step_id} is done{score}", execution)

    async def reported(self, work: Work, execution: Execution) -> Execution:
        """Tell the others, once, that an attempt ended for good, as soon as its cost is known."""
        if execution.reported or not execution.cost_known:
            return execution
        updated = replace(execution, reported=True)
        await work.save_execution(updated)
        await work.publish(ExecutionFact(updated, work.job.owner.subject))
        return updated
