"""Converters between the messages of the contract and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import invalid
from mesh.rpc.enums import EnumCodec
from mesh.rpc.params_truncation import ANSWER_BYTES, ParamsSizeLimit
from mesh.rpc.wellknown import json_object, struct, timestamp
from soma.executor.v1 import document_service_pb2, job_pb2, job_service_pb2, plan_service_pb2
from svc_executor.domain.documents import RevisionRef
from svc_executor.domain.job import MAX_SHOWN_CHARS, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf import struct_pb2

    from soma_providers.port import JsonValue
    from svc_executor.domain.documents import Change, DocumentDiff
    from svc_executor.domain.job import Execution, Job, Step, StepSummary
    from svc_executor.domain.task_dsl import Plan, PlanError
    from svc_executor.domain.timeline import Compensation, JobDescription, JobEvent

_JOB_STATES = EnumCodec(job_pb2.JobState)
_STEP_STATES = EnumCodec(job_pb2.StepState)
_EXECUTION_STATUSES = EnumCodec(job_pb2.ExecutionStatus)
_EVENT_TYPES = EnumCodec(job_pb2.JobEventType)
_CHANGE_KINDS = EnumCodec(document_service_pb2.DocumentChangeKind)


def plan_from_proto(message: struct_pb2.Struct) -> Mapping[str, JsonValue]:
    """Returns a plan as JSON; numbers without a fraction below 2**53, which Struct stores as floats, come back as int.

    INVALID_ARGUMENT for a number that JSON does not have.
    """
    try:
        return json_object(message)
    except ValueError:
        raise invalid("plan", "holds a number that is not finite") from None


def job_state_from_proto(value: job_pb2.JobState.ValueType) -> JobState | None:
    """Returns the state; None for UNSPECIFIED."""
    return JobState(_JOB_STATES.name(value)) if value else None


def job_to_proto(job: Job, steps: Sequence[Step | StepSummary] = ()) -> job_pb2.Job:
    """Returns the message of a job with these of its steps."""
    return job_pb2.Job(
        job_id=job.job_id,
        state=_JOB_STATES.number(job.state.value),
        title=job.title,
        steps=[step_to_proto(step) for step in steps],
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


def step_to_proto(step: Step | StepSummary, *, with_text: bool = True) -> job_pb2.Step:
    """Returns the message of a step, with the first `MAX_SHOWN_CHARS` characters of its text or without it."""
    return job_pb2.Step(
        step_id=step.step_id,
        step_index=step.task.index,
        step_type=step.task.step_type.value,
        state=_STEP_STATES.number(step.state.value),
        depends_on=step.task.depends_on,
        asset_ids=step.asset_ids,
        text=step.text[:MAX_SHOWN_CHARS] if with_text else "",
        capability_id=step.capability_id,
        message=step.message,
        attempts=step.attempts,
        quality_score=step.quality_score,
        cost_micro_usd=step.cost_micro_usd,
    )


def execution_to_proto(
    execution: Execution, params: Mapping[str, JsonValue], request_id: str = ""
) -> job_pb2.Execution:
    """Returns the message of an attempt with these of its parameters; `request_id` is that of its job."""
    return job_pb2.Execution(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        step_id=execution.step_id,
        step_index=execution.step_index,
        attempt=execution.attempt,
        tool_id=execution.capability.tool_id,
        provider=execution.capability.provider,
        model=execution.model,
        status=_EXECUTION_STATUSES.number(execution.status.value),
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
        params=struct(params),
        step_type=execution.step_type,
        request_id=request_id,
    )


def job_event_to_proto(event: JobEvent) -> job_pb2.JobEvent:
    """Returns the message of an event of a timeline."""
    return job_pb2.JobEvent(
        sequence=event.sequence,
        type=_EVENT_TYPES.number(event.type.value),
        job_id=event.job_id,
        step_id=event.step_id,
        message=event.message,
        job_state=_JOB_STATES.number(event.job_state.value),
        step_state=_STEP_STATES.number(event.step_state.value if event.step_state else ""),
        progress=event.progress,
        capability_id=event.capability_id,
        asset_ids=event.asset_ids,
        occur_time=timestamp(event.occurred_at),
        attempt=event.attempt,
        terminal=event.terminal,
    )


def compensation_to_proto(compensation: Compensation) -> job_service_pb2.Compensation:
    """Returns the message of a compensation."""
    return job_service_pb2.Compensation(
        kind=compensation.kind.value,
        target_id=compensation.target_id,
        step_id=compensation.step_id,
        done=compensation.done,
        message=compensation.message,
        update_time=timestamp(compensation.updated_at),
    )


def description_to_proto(description: JobDescription) -> job_service_pb2.JobDescription:
    """Returns everything recorded of a job. Call it in a thread: plan and parameters may be large."""
    limit = ParamsSizeLimit(ANSWER_BYTES)
    return job_service_pb2.JobDescription(
        job=job_to_proto(description.job, description.steps),
        plan=struct(description.plan),
        executions=[
            execution_to_proto(execution, limit.apply(execution.params), description.job.request_id)
            for execution in description.executions
        ],
        events=[job_event_to_proto(event) for event in description.events],
        compensations=[compensation_to_proto(compensation) for compensation in description.compensations],
    )


def plan_to_proto(plan: Plan) -> plan_service_pb2.ValidatePlanResponse:
    """Returns the answer about a valid plan."""
    return plan_service_pb2.ValidatePlanResponse(
        valid=True,
        layers=[plan_service_pb2.PlanLayer(task_ids=layer) for layer in plan.layers],
        max_cost_micro_usd=plan.max_cost_micro_usd,
    )


def plan_errors_to_proto(errors: Sequence[PlanError]) -> plan_service_pb2.ValidatePlanResponse:
    """Returns the answer about a plan with errors."""
    return plan_service_pb2.ValidatePlanResponse(
        valid=False,
        errors=[
            plan_service_pb2.PlanError(pointer=error.pointer, code=error.code, message=error.message)
            for error in errors
        ],
    )


def revision_from_proto(revision: document_service_pb2.DocumentRevision) -> RevisionRef:
    """Returns the reference to a revision."""
    return RevisionRef(revision.job_id, revision.step_id)


def diff_to_proto(diff: DocumentDiff) -> document_service_pb2.DiffDocumentsResponse:
    """Returns the message of the differences of two documents."""
    return document_service_pb2.DiffDocumentsResponse(
        old_version=diff.old_version,
        new_version=diff.new_version,
        changes=[change_to_proto(change) for change in diff.changes],
        truncated=diff.truncated,
        markdown=diff.markdown,
    )


def change_to_proto(change: Change) -> document_service_pb2.DocumentChange:
    """Returns the message of one difference."""
    kind = _CHANGE_KINDS.number(change.kind.name)
    return document_service_pb2.DocumentChange(
        part=change.part, id=change.id, title=change.title, kind=kind, lines=change.lines
    )
