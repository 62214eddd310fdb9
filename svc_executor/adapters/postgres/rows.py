"""Rows and what they mean: one table, one pair of functions."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mesh.stores.partitions import month_of
from soma_providers.port import Feedback, Usage
from svc_executor.domain.job import (
    MAX_SHOWN_CHARS,
    CallerIdentity,
    Execution,
    ExecutionContent,
    ExecutionStatus,
    Job,
    JobOptions,
    JobState,
    SelectedCapability,
    Step,
    StepState,
    StepSummary,
)
from svc_executor.domain.provider_call import ProviderCall
from svc_executor.domain.task_dsl import OnFailure, StepType, Task
from svc_executor.domain.timeline import Compensation, CompensationKind, EventType, JobEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = dict[str, Any]


def job_row(job: Job) -> Row:
    """Columns of `multimodal_job_plans`, the plan and those of the request aside."""
    return {
        "id": job.job_id,
        "tenant_id": job.tenant_id,
        "session_id": job.session_id,
        "status": job.state.value,
        "title": job.title,
        "owner": asdict(job.owner),
        # Without what is not set: a process of an earlier release can read it then.
        "terms": {name: value for name, value in asdict(job.options).items() if value},
        "run": job.run,
        "message": job.message,
        "cost_micro_usd": job.cost_micro_usd,
        "steps_total": job.steps_total,
        "steps_ended": job.steps_ended,
        "cancel_reason": job.cancel_reason,
        "trace_id": job.trace_id,
        "traceparent": job.traceparent,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "source_request_id": job.request_id,
        "acts_for": asdict(job.resumed_by) if job.resumed_by else None,
    }


def job_of(row: Mapping[str, Any]) -> Job:
    """The job of a row."""
    resumed_by = row["acts_for"]
    return Job(
        job_id=str(row["id"]),
        owner=_principal(row["owner"]),
        request_id=row["source_request_id"] or row["request_id"] or "",
        resumed_by=_principal(resumed_by) if resumed_by else None,
        options=JobOptions(**row["terms"]),
        state=JobState(row["status"]),
        **{name: row[name] for name in _SAME_IN_JOB},
    )


def _principal(fields: Row) -> CallerIdentity:
    return CallerIdentity(**{**fields, "roles": tuple(fields["roles"]), "scopes": tuple(fields["scopes"])})


_SAME_IN_JOB = (
    "created_at", "title", "session_id", "trace_id", "traceparent", "run", "message", "cost_micro_usd", "steps_total",
    "steps_ended", "cancel_reason", "started_at", "ended_at",
)  # fmt: skip
JOB_COLUMNS = ", ".join(
    ("id", "owner", "source_request_id", "request_id", "acts_for", "terms", "status", *_SAME_IN_JOB)
)
"""What a job is made of. The plan, of up to some megabytes, is read only where it is shown."""


def step_row(step: Step, tenant_id: str) -> Row:
    """Columns of `job_steps`."""
    return {
        "plan_id": step.job_id,
        "step_index": step.task.index,
        "step_id": step.step_id,
        "tenant_id": tenant_id,
        "task": _task_fields(step.task),
        "status": step.state.value,
        "asset_ids": list(step.asset_ids),
        **{name: getattr(step, name) for name in _SAME_IN_STEP},
    }


def step_of(row: Mapping[str, Any]) -> Step:
    """The step of a row."""
    return Step(
        job_id=str(row["plan_id"]),
        task=task_of(row["task"]),
        state=StepState(row["status"]),
        asset_ids=tuple(row["asset_ids"]),
        **{name: row[name] for name in _SAME_IN_STEP},
    )


_SAME_IN_STEP = (
    "text", "capability_id", "message", "attempts", "accepted_attempt", "quality_score", "cost_micro_usd", "erased",
)  # fmt: skip


STEP_SUMMARY_COLUMNS = ", ".join(
    (
        "plan_id",
        "task - '{params,constraints,rubric}'::text[] AS task_summary",
        "status",
        "asset_ids",
        f"left(text, {MAX_SHOWN_CHARS}) AS text_shown",
        *(name for name in _SAME_IN_STEP if name != "text"),
    )
)


def step_summary_of(row: Mapping[str, Any]) -> StepSummary:
    """The step of a row of `STEP_SUMMARY_COLUMNS`."""
    return StepSummary(
        job_id=str(row["plan_id"]),
        task=task_of(row["task_summary"]).summary,
        state=StepState(row["status"]),
        asset_ids=tuple(row["asset_ids"]),
        text=row["text_shown"],
        **{name: row[name] for name in _SAME_IN_STEP if name != "text"},
    )


def _task_fields(task: Task) -> Row:
    fields = asdict(task)
    fields[_REQUIRES_EVALUATION] = fields.pop("requires_evaluation")
    return fields


_REQUIRES_EVALUATION = "gate"
"""What the column `task` calls `Task.requires_evaluation`."""


def task_of(fields: Row) -> Task:
    """The task of a column of `job_steps`."""
    same = {name: value for name, value in fields.items() if name != _REQUIRES_EVALUATION}
    return Task(
        **{
            **same,
            "requires_evaluation": fields.get(_REQUIRES_EVALUATION, False),
            "step_type": StepType(fields["step_type"]),
            "on_failure": OnFailure(fields["on_failure"]),
            "depends_on": tuple(fields["depends_on"]),
        }
    )


def execution_row(execution: Execution, tenant_id: str) -> Row:
    """Columns of `multimodal_executions`, generated ones aside."""
    return {
        "id": execution.execution_id,
        "plan_id": execution.job_id,
        "month": month_of(execution.job_id),
        "tenant_id": tenant_id,
        "tool_id": execution.capability.tool_id,
        "provider": execution.capability.provider,
        "chosen": _selected_capability_fields(execution.capability),
        "usage": _usage_fields(execution),
        "status": execution.status.value,
        "input_asset_ids": list(execution.input_asset_ids),
        "asset_ids": list(execution.asset_ids),
        "feedback": [asdict(point) for point in execution.feedback],
        "params": execution.params,
        "text": execution.text,
        **{name: getattr(execution, name) for name in _SAME_IN_EXECUTION},
    }


def _selected_capability_fields(capability: SelectedCapability) -> Row:
    """The owner only where there is one: processes of an older release read the platform's as before."""
    fields = asdict(capability)
    return fields if capability.owner_tenant_id else {k: v for k, v in fields.items() if k != "owner_tenant_id"}


def _selected_capability(stored: Row) -> SelectedCapability:
    """The capability of an attempt; an earlier version also stored its prices."""
    return SelectedCapability(**{name: value for name, value in stored.items() if name not in _PRICES})


_PRICES = frozenset({"prices", "finer_prices"})


def _usage_fields(execution: Execution) -> Row | None:
    """The units of an attempt that ended; none of them where nobody knows."""
    if execution.usage is not None:
        return asdict(execution.usage)
    return {} if execution.usage_unknown else None


def execution_of(row: Mapping[str, Any]) -> Execution:
    """The attempt of a row, with its content where the row has `EXECUTION_COLUMNS_WITH_CONTENT`."""
    return Execution(
        execution_id=str(row["id"]),
        job_id=str(row["plan_id"]),
        capability=_selected_capability(row["chosen"]),
        usage=Usage(**row["usage"]) if row["usage"] else None,
        usage_unknown=row["usage"] == {},
        status=ExecutionStatus(row["status"]),
        input_asset_ids=tuple(row["input_asset_ids"]),
        asset_ids=tuple(row["asset_ids"]),
        feedback=tuple(Feedback(**point) for point in row["feedback"]),
        content=ExecutionContent(row["params"], row["text"]) if "params" in row else None,
        **{name: row[name] for name in _SAME_IN_EXECUTION},
    )


_SAME_IN_EXECUTION = (
    "step_id", "step_index", "attempt", "step_type", "modality", "model", "selection_id", "reservation_id",
    "reserved_micro_usd", "settled", "reported", "idempotency_key", "prompt", "latency_ms",
    "cost_micro_usd", "quality_score", "evaluation_id", "fallback_reason", "rework_reason", "rework_of", "error_code",
    "error_message", "trace_id", "started_at", "ended_at",
)  # fmt: skip
EXECUTION_COLUMNS = ", ".join(
    ("id", "plan_id", "chosen", "status", "input_asset_ids", "asset_ids", "feedback", "usage", *_SAME_IN_EXECUTION)
)
EXECUTION_COLUMNS_WITH_CONTENT = f"{EXECUTION_COLUMNS}, params, text"


def event_row(event: JobEvent, tenant_id: str) -> Row:
    """Columns of `job_events`, the sequence aside."""
    return {
        "plan_id": event.job_id,
        "tenant_id": tenant_id,
        "type": event.type.value,
        "job_status": event.job_state.value,
        "step_status": event.step_state.value if event.step_state else None,
        "asset_ids": list(event.asset_ids),
        **{name: getattr(event, name) for name in _SAME_IN_EVENT},
    }


def event_of(row: Mapping[str, Any]) -> JobEvent:
    """The entry of a row."""
    return JobEvent(
        sequence=row["sequence"],
        type=EventType(row["type"]),
        job_id=str(row["plan_id"]),
        job_state=JobState(row["job_status"]),
        step_state=StepState(row["step_status"]) if row["step_status"] else None,
        asset_ids=tuple(row["asset_ids"]),
        **{name: row[name] for name in _SAME_IN_EVENT},
    )


_SAME_IN_EVENT = ("message", "progress", "occurred_at", "step_id", "capability_id", "attempt", "terminal")


def call_row(call: ProviderCall) -> Row:
    """Columns of `provider_calls`."""
    fields = asdict(call)
    return {"plan_id": fields.pop("job_id"), **fields}


def call_of(row: Mapping[str, Any]) -> ProviderCall:
    """The call of a row."""
    return ProviderCall(
        execution_id=str(row["execution_id"]),
        job_id=str(row["plan_id"]),
        tenant_id=row["tenant_id"],
        idempotency_key=row["idempotency_key"],
        started_at=row["started_at"],
        ends_at=row["ends_at"],
    )


def compensation_row(entry: Compensation, tenant_id: str) -> Row:
    """Columns of `compensations`."""
    fields = asdict(entry)
    return {"plan_id": fields.pop("job_id"), **fields, "tenant_id": tenant_id, "kind": entry.kind.value}


def compensation_of(row: Mapping[str, Any]) -> Compensation:
    """The compensation of a row."""
    fields = {name: row[name] for name in _SAME_IN_COMPENSATION}
    return Compensation(
        job_id=str(row["plan_id"]), kind=CompensationKind(row["kind"]), tenant_id=row["tenant_id"], **fields
    )


_SAME_IN_COMPENSATION = (
    "run", "position", "target_id", "step_id", "execution_id", "updated_at", "done", "message",
)  # fmt: skip
