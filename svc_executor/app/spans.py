"""The trace of a job: one tree, also when several processes worked on it one after the other.

Spans of the run and of its steps last longer than any process may live. What happens below them refers to ids that
follow from the job, and they are written when the run is over, from what was recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import format_span_id

from mesh import tracing
from svc_executor.domain.job import JobState, StepState
from svc_executor.domain.timeline import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from opentelemetry.trace import SpanContext

    from svc_executor.domain.job import Job, StepSummary
    from svc_executor.domain.timeline import JobEvent

JOB = "multimodal_job"
COMPILATION = "plan_compilation"


def submission_span(job: Job) -> SpanContext:
    """The span of the request that submitted a job."""
    return tracing.remote_or_derived_context(job.traceparent, job.job_id)


def run_span(job: Job) -> SpanContext:
    """The span of the current run of a job."""
    return tracing.derived(submission_span(job), job.job_id, str(job.run))


def step_span(job: Job, step_id: str) -> SpanContext:
    """The span of a step in the current run; of the run itself without a step."""
    return tracing.derived(submission_span(job), job.job_id, str(job.run), step_id) if step_id else run_span(job)


def operation_span(job: Job, step_id: str, operation: str, attempt: int) -> SpanContext:
    """The span of one piece of work on a step."""
    return tracing.derived(submission_span(job), job.job_id, str(job.run), step_id, operation, str(attempt))


def attempt_span_id(job: Job, step_id: str, attempt: int) -> str:
    """Id of the span of an attempt, 16 hex digits."""
    return format_span_id(operation_span(job, step_id, attempt_span_name(attempt), attempt).span_id)


def attempt_span_name(attempt: int) -> str:
    """`execution_attempt_N`."""
    return f"execution_attempt_{attempt}"


def record_compilation(job: Job, end: datetime) -> None:
    """Write the span of the plan's compilation, which began with the job."""
    own_events = tracing.derived(submission_span(job), job.job_id, COMPILATION)
    attributes: tracing.Attributes = {"soma.job_id": job.job_id, "soma.steps": job.steps_total}
    tracing.record(COMPILATION, run_span(job), own_events, start=job.created_at, end=end, attributes=attributes)


def record_run(job: Job, steps: Sequence[StepSummary], events: Sequence[JobEvent]) -> None:
    """Write the spans of a run that ended and of the steps it worked on. Writing them again changes nothing."""
    start = _run_start(job, events)
    end = job.ended_at or start
    attributes: tracing.Attributes = {"soma.job_id": job.job_id, "soma.run": job.run, "soma.state": job.state.value}
    failed = "" if job.state in {JobState.COMPLETED, JobState.PARTIAL} else job.state.value
    for step in steps:
        own_events = [event for event in _events_of_step(events, step) if event.occurred_at >= start]
        if own_events:
            dependency_ends = [
                event.occurred_at
                for other in steps
                if other.step_id in step.task.depends_on
                for event in _events_of_step(events, other)[-1:]
            ]
            _step_ended(job, step, start=max([start, *dependency_ends]), end=own_events[-1].occurred_at)
    tracing.record(JOB, submission_span(job), run_span(job), start=start, end=end, attributes=attributes, failed=failed)


def _step_ended(job: Job, step: StepSummary, *, start: datetime, end: datetime) -> None:
    """A step lasts from the moment its inputs were there, so the wait for a free slot is part of it."""
    tracing.record(
        step_span_name(step),
        run_span(job),
        step_span(job, step.step_id),
        start=start,
        end=end,
        attributes={
            "soma.job_id": job.job_id,
            "soma.step_id": step.step_id,
            "soma.capability_id": step.capability_id,
            "soma.attempts": step.attempts,
            "soma.state": step.state.value,
        },
        failed="" if step.state is StepState.SUCCEEDED else step.state.value,
    )


def step_span_name(step: StepSummary) -> str:
    """`step_NN_<type>`, as its plan numbers and types it."""
    return f"step_{step.task.index + 1:02d}_{step.task.step_type.value}"


def _events_of_step(events: Sequence[JobEvent], step: StepSummary) -> list[JobEvent]:
    return [event for event in events if event.step_id == step.step_id and event.type is not EventType.COMPENSATION]


def _run_start(job: Job, events: Sequence[JobEvent]) -> datetime:
    """When the current run began: the first with the job, a later one when it was set running again."""
    if job.run == 1:
        return job.created_at
    restarts = [
        event.occurred_at for event in events if event.type is EventType.JOB and event.job_state is JobState.RUNNING
    ]
    return restarts[-1] if restarts else job.started_at or job.created_at
