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
from svc_executor.messages import JOB_STATES, STEP_STATES, execution_message, job_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import JsonValue
    from svc_executor.domain.task_dsl import Plan, PlanError
    from svc_executor.domain.timeline import Compensation, JobAccount, JobEvent

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


def event_message(event: JobEvent) -> job_pb2.JobEvent:
    """An entry of a timeline."""
    return job_pb2.JobEvent(
        sequence=event.sequence,
        type=_EVENT_TYPES.number(event.type.value),
        job_id=event.job_id,
        step_id=event.step_id,
        message=event.message,
        job_state=JOB_STATES.number(event.job_state.value),
        step_state=STEP_STATES.number(event.step_state.value if event.step_state else ""),
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
