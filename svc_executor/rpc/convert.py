"""Between the messages of the contract and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import struct_pb2

from mesh.errors import invalid
from mesh.rpc import wellknown
from mesh.rpc.bounded import ANSWER_BYTES, ParamsSizeLimit
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import json_object, timestamp
from soma.executor.v1 import job_pb2, job_service_pb2, plan_service_pb2
from svc_executor.domain.job import TEXT_SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import JsonValue
    from svc_executor.domain.job import Execution, Job, Step, StepSummary
    from svc_executor.domain.task_dsl import Plan, PlanError
    from svc_executor.domain.timeline import Compensation, JobAccount, JobEvent

_JOB_STATES = EnumCodec(job_pb2.JobState)
_STEP_STATES = EnumCodec(job_pb2.StepState)
_STATUSES = EnumCodec(job_pb2.ExecutionStatus)
_EVENT_TYPES = EnumCodec(job_pb2.JobEventType)


def document(message: struct_pb2.Struct) -> Mapping[str, JsonValue]:
    """A plan as JSON; numbers without a fraction, which Struct keeps as floats, become whole again below 2**53.

    INVALID_ARGUMENT for a number that JSON does not have.
    """
    try:
        return json_object(message)
    except ValueError:
        raise invalid("plan", "holds a number that is not finite") from None


def struct(fields: Mapping[str, JsonValue]) -> struct_pb2.Struct:
    """JSON as a Struct."""
    message = struct_pb2.Struct()
    message.update(dict(fields))
    return message


def job_state(name: str) -> job_pb2.JobState.ValueType:
    """The state of that name."""
    return _JOB_STATES.number(name)


def job_state_name(state: job_pb2.JobState.ValueType) -> str:
    """The domain's name of a state."""
    return _JOB_STATES.name(state)


def step_state(name: str) -> job_pb2.StepState.ValueType:
    """The state of that name."""
    return _STEP_STATES.number(name)


def job_message(job: Job, steps: Sequence[Step | StepSummary] = (), *, texts: bool = True) -> job_pb2.Job:
    """A job with its steps; `texts` false leaves their texts out."""
    return job_pb2.Job(
        job_id=job.job_id,
        state=job_state(job.state.value),
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
    )


def step_message(step: Step | StepSummary, *, texts: bool = True) -> job_pb2.Step:
    """A step."""
    return job_pb2.Step(
        step_id=step.step_id,
        step_index=step.task.index,
        step_type=step.task.step_type.value,
        state=step_state(step.state.value),
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
        status=_STATUSES.number(execution.status.value),
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


def event_message(event: JobEvent) -> job_pb2.JobEvent:
    """An entry of a timeline."""
    return job_pb2.JobEvent(
        sequence=event.sequence,
        type=_EVENT_TYPES.number(event.type.value),
        job_id=event.job_id,
        step_id=event.step_id,
        message=event.message,
        job_state=job_state(event.job_state.value),
        step_state=step_state(event.step_state.value if event.step_state else "UNSPECIFIED"),
        progress=event.progress,
        capability_id=event.capability_id,
        asset_ids=event.asset_ids,
        occur_time=timestamp(event.occurred_at),
        attempt=event.attempt,
        terminal=event.terminal,
    )


def compensation_message(entry: Compensation) -> job_service_pb2.Compensation:
    """A compensation."""
    return job_service_pb2.Compensation(
        kind=entry.kind.value,
        target_id=entry.target_id,
        step_id=entry.step_id,
        done=entry.done,
        message=entry.message,
        update_time=timestamp(entry.updated_at),
    )


def account_message(account: JobAccount) -> job_service_pb2.JobDescription:
    """Everything recorded of a job; takes long where plan or parameters are large: call it in a thread."""
    limit = ParamsSizeLimit(ANSWER_BYTES)
    return job_service_pb2.JobDescription(
        job=job_message(account.job, account.steps),
        plan=struct(account.plan),
        executions=[
            execution_message(execution, wellknown.struct(limit.apply(execution.params)), account.job.request_id)
            for execution in account.executions
        ],
        events=[event_message(event) for event in account.events],
        compensations=[compensation_message(entry) for entry in account.compensations],
    )


def plan_message(plan: Plan) -> plan_service_pb2.ValidatePlanResponse:
    """A plan without errors."""
    return plan_service_pb2.ValidatePlanResponse(
        valid=True,
        layers=[plan_service_pb2.PlanLayer(task_ids=layer) for layer in plan.layers],
        max_cost_micro_usd=plan.max_cost_micro_usd,
    )


def errors_message(errors: Sequence[PlanError]) -> plan_service_pb2.ValidatePlanResponse:
    """Everything wrong with a plan."""
    return plan_service_pb2.ValidatePlanResponse(
        valid=False,
        errors=[
            plan_service_pb2.PlanError(pointer=error.pointer, code=error.code, message=error.message)
            for error in errors
        ],
    )
