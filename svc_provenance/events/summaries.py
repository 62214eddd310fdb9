"""What the record's rules need of the messages of facts, after redaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import json_object
from soma.executor.v1 import job_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.domain.model import (
    AssetFacts,
    Attempt,
    CreationFacts,
    EvaluationSummary,
    JobSummary,
    SelectionSummary,
    StepSummary,
)

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from mesh.redaction import Redactor
    from soma.assets.v1.asset_pb2 import Asset
    from soma.critic.v1.critic_service_pb2 import Evaluation
    from soma.events.v1.facts_pb2 import ExecutionFinished

_STATUSES = EnumCodec(job_pb2.ExecutionStatus)
_JOB_STATES = EnumCodec(job_pb2.JobState)
_STEP_STATES = EnumCodec(job_pb2.StepState)
_ENDED = {
    job_pb2.JOB_STATE_COMPLETED,
    job_pb2.JOB_STATE_PARTIAL,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
}
_NOT_REPORTED = {"TASK_TYPE_MISMATCH", "EXCLUDED"}


def choice(selection: selection_pb2.Selection) -> SelectionSummary:
    """A selection. What merely does something else is not told as left out."""
    about = selection.subject_context
    rejected = (item for item in selection.rejected if item.code not in _NOT_REPORTED)
    return SelectionSummary(
        selection_id=selection.selection_id,
        step_id=about.step_id,
        attempt=about.attempt,
        chosen=selection.chosen.capability_id,
        reason=selection.reason,
        fallback_reason=selection.fallback_reason,
        left_out=tuple(f"{item.capability_id}: {item.reason}" for item in rejected),
        policy_id=selection.policy_id,
        policy_denied=_denied(selection, selection_pb2.JUDGEMENT_POLICY),
        budget_denied=_denied(selection, selection_pb2.JUDGEMENT_BUDGET),
        reserved_micro_usd=selection.budget.reserved_micro_usd,
        degradation=selection.degradation_level,
        decided_ms=_ms(selection.create_time),
        elapsed_us=selection.elapsed_us,
    )


def _denied(selection: selection_pb2.Selection, by: selection_pb2.Judgement.ValueType) -> tuple[str, ...]:
    return tuple(item.capability_id for item in selection.rejected if item.judgement == by)


def attempt(execution: job_pb2.Execution) -> Attempt:
    """An execution."""
    status = _STATUSES.name(execution.status).lower()
    return Attempt(
        execution_id=execution.execution_id,
        step_id=execution.step_id,
        step_type=execution.step_type,
        attempt=execution.attempt,
        capability_id=_capability(execution),
        status=status,
        selection_id=execution.selection_id,
        evaluation_id=execution.evaluation_id,
        asset_ids=tuple(execution.asset_ids),
        fallback_reason=execution.fallback_reason,
        rework_reason=execution.rework_reason,
        error=f"{execution.error_code}: {execution.error_message}" if execution.error_code else "",
        cost_micro_usd=execution.cost_micro_usd,
        latency_ms=execution.latency_ms,
        quality=execution.quality_score if execution.HasField("quality_score") else None,
        trace_id=execution.trace_id,
        span_id=execution.span_id,
        started_ms=_ms(execution.start_time),
        ended_ms=_ms(execution.end_time),
    )


def verdict(evaluation: Evaluation) -> EvaluationSummary:
    """An evaluation."""
    return EvaluationSummary(
        evaluation_id=evaluation.evaluation_id,
        execution_id=evaluation.execution_id,
        passes=evaluation.passes,
        score=evaluation.score,
        faults=tuple(item.message for item in evaluation.feedback),
        evaluator=evaluation.evaluator,
        cost_micro_usd=evaluation.cost_micro_usd,
        elapsed_ms=evaluation.elapsed_ms,
        judged_ms=_ms(evaluation.create_time),
    )


def asset_facts(asset: Asset, stored_at: datetime) -> AssetFacts:
    """What an asset's own event says."""
    return AssetFacts(
        asset_id=asset.asset_id,
        asset_type=asset.asset_type,
        media_type=asset.media_type,
        checksum=asset.checksum_sha256,
        job_id=asset.origin.job_id,
        step_id=asset.origin.step_id,
        execution_id=asset.origin.execution_id,
        subject=asset.created_by,
        parent_ids=(asset.parent_id,) if asset.parent_id else (),
        created_at=stored_at,
    )


def creation(fact: ExecutionFinished, redactor: Redactor, *, full_prompt: bool) -> CreationFacts:
    """What the attempt that made assets says of them; the whole prompt only where policy lets it be kept."""
    execution = fact.execution
    return CreationFacts(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        step_id=execution.step_id,
        attempt=execution.attempt,
        selection_id=execution.selection_id,
        capability_id=_capability(execution),
        model=execution.model,
        subject=fact.subject,
        parent_ids=tuple(fact.input_asset_ids),
        params=json_object(execution.params),
        prompt_summary=redactor.summary(fact.prompt),
        redactions={kind: count for kind, count in redactor.counts.items() if count},
        cost_micro_usd=execution.cost_micro_usd,
        latency_ms=execution.latency_ms,
        trace_id=execution.trace_id,
        prompt=fact.prompt if full_prompt else "",
        request_id=execution.request_id,
    )


def run(job: job_pb2.Job) -> JobSummary:
    """A job's newest word."""
    return JobSummary(
        job_id=job.job_id,
        state=_JOB_STATES.name(job.state).lower(),
        ended=job.state in _ENDED,
        steps=tuple(_note(step) for step in job.steps),
        trace_id=job.trace_id,
        title=job.title,
        message=job.message,
        created_ms=_ms(job.create_time),
        started_ms=_ms(job.start_time),
        ended_ms=_ms(job.end_time),
    )


def _note(step: job_pb2.Step) -> StepSummary:
    state = _STEP_STATES.name(step.state).lower()
    return StepSummary(step.step_id, step.step_type, state, step.attempts, step.message)


def _capability(execution: job_pb2.Execution) -> str:
    return f"{execution.tool_id}@{execution.provider}"


def _ms(moment: Timestamp) -> int:
    """Milliseconds since 1970; 0 for a moment that was not set."""
    return moment.ToMilliseconds()
