"""Jobs, steps and attempts as messages of the contract: what answers and facts have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import timestamp
from soma.executor.v1 import job_pb2
from svc_executor.domain.job import TEXT_SHOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf import struct_pb2

    from svc_executor.domain.job import Execution, Job, Step, StepSummary

JOB_STATES = EnumCodec(job_pb2.JobState)
STEP_STATES = EnumCodec(job_pb2.StepState)
EXECUTION_STATUSES = EnumCodec(job_pb2.ExecutionStatus)


def job_message(job: Job, steps: Sequence[Step | StepSummary] = (), *, texts: bool = True) -> job_pb2.Job:
    """A job with its steps; `texts` false leaves their texts out."""
    return job_pb2.Job(
        job_id=job.job_id,
        state=JOB_STATES.number(job.state.value),
        title=job.title,
        steps=[step_message(step, texts=texts) for step in steps],
        progress=job.progress,
        cost_micro_usd=job.cost_micro_usd,
        message=job.message,
        session_id=job.session_id,
        created_by=job.owner.subject,
        create_time=timestamp(job.created_at),
        start_time=timestamp(job.started_at),
        end_time=timestamp(job.ended_at),
        trace_id=job.trace_id,
        request_id=job.request_id,
        step_count=job.steps_total,
    )


def step_message(step: Step | StepSummary, *, texts: bool = True) -> job_pb2.Step:
    """A step."""
    return job_pb2.Step(
        step_id=step.step_id,
        step_index=step.task.index,
        step_type=step.task.step_type.value,
        state=STEP_STATES.number(step.state.value),
        depends_on=step.task.depends_on,
        asset_ids=step.asset_ids,
        text=step.text[:TEXT_SHOWN] if texts else "",
        capability_id=step.capability_id,
        message=step.message,
        attempts=step.attempts,
        quality_score=step.quality_score,
        cost_micro_usd=step.cost_micro_usd,
    )


def execution_message(
    execution: Execution, params: struct_pb2.Struct | None, request_id: str = ""
) -> job_pb2.Execution:
    """An attempt with these of its parameters; `request_id` is that of its job."""
    return job_pb2.Execution(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        step_id=execution.step_id,
        step_index=execution.step_index,
        attempt=execution.attempt,
        tool_id=execution.chosen.tool_id,
        provider=execution.chosen.provider,
        model=execution.model,
        status=EXECUTION_STATUSES.number(execution.status.value),
        asset_ids=execution.asset_ids,
        latency_ms=execution.latency_ms,
        cost_micro_usd=execution.cost_micro_usd,
        quality_score=execution.quality_score,
        fallback_reason=execution.fallback_reason,
        rework_reason=execution.rework_reason,
        error_code=execution.error_code,
        error_message=execution.error_message,
        selection_id=execution.selection_id,
        evaluation_id=execution.evaluation_id,
        trace_id=execution.trace_id,
        idempotency_key=execution.idempotency_key,
        start_time=timestamp(execution.started_at),
        end_time=timestamp(execution.ended_at),
        params=params,
        step_type=execution.step_type,
        request_id=request_id,
    )
