"""Converters of the messages in events: to summaries, and to what is stored of assets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import json_object
from soma.assets.v1.asset_pb2 import Asset
from soma.critic.v1.critic_service_pb2 import Evaluation
from soma.executor.v1 import job_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.domain.asset_records import AssetCreation, StoredAsset
from svc_provenance.domain.model import (
    AssetSummary,
    Attempt,
    AttemptStatus,
    EntryKind,
    EvaluationSummary,
    JobSummary,
    Judgement,
    RejectedCapability,
    SelectionBasis,
    SelectionSummary,
    StepState,
    StepSummary,
)

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from mesh.redaction import Redactor
    from soma.events.v1.facts_pb2 import ExecutionFinished
    from svc_provenance.domain.model import Summary

_STATUSES = EnumCodec(job_pb2.ExecutionStatus)
_JOB_STATES = EnumCodec(job_pb2.JobState)
_STEP_STATES = EnumCodec(job_pb2.StepState)
_JUDGEMENTS = EnumCodec(selection_pb2.Judgement)
_ENDED = {
    job_pb2.JOB_STATE_COMPLETED,
    job_pb2.JOB_STATE_PARTIAL,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
}


def summary_from_proto(kind: EntryKind, document: bytes) -> Summary:
    """Returns the summary of an entry's document."""
    match kind:
        case EntryKind.SELECTION:
            return selection_from_proto(selection_pb2.Selection.FromString(document))
        case EntryKind.EXECUTION:
            return attempt_from_proto(job_pb2.Execution.FromString(document))
        case EntryKind.EVALUATION:
            return evaluation_from_proto(Evaluation.FromString(document))
        case EntryKind.ASSET:
            return asset_from_proto(Asset.FromString(document))
        case EntryKind.JOB:
            return job_from_proto(job_pb2.Job.FromString(document))
        case EntryKind.STEP:
            return step_from_proto(job_pb2.Step.FromString(document))


def selection_from_proto(message: selection_pb2.Selection) -> SelectionSummary:
    """Returns the summary of a selection."""
    subject, chosen = message.subject_context, message.chosen.capability_id
    ranked = next((each for each in message.ranked if each.capability_id == chosen), None)
    return SelectionSummary(
        selection_id=message.selection_id,
        step_id=subject.step_id,
        attempt=subject.attempt,
        chosen=chosen,
        reason=message.reason,
        fallback_reason=message.fallback_reason,
        basis=_basis(message.basis) if message.HasField("basis") else None,
        rejected=tuple(map(_rejected, message.rejected)),
        policy_id=message.policy_id,
        candidates=len(message.ranked),
        predicted_quality=ranked.score if ranked is not None and ranked.HasField("score") else None,
        reserved_micro_usd=message.budget.reserved_micro_usd,
        degradation_level=_degradation_level(message),
        decided_ms=_ms(message.create_time),
        elapsed_us=message.elapsed_us,
    )


def _basis(message: selection_pb2.SelectionBasis) -> SelectionBasis:
    return SelectionBasis(
        ladder_position=message.ladder_position,
        forced=message.forced,
        preferred=message.preferred,
        degraded=message.degraded,
        deprecated=message.deprecated,
        alternatives=message.alternatives,
        rejections=message.rejections,
    )


def _rejected(message: selection_pb2.Rejection) -> RejectedCapability:
    return RejectedCapability(
        capability_id=message.capability_id,
        judgement=Judgement(_JUDGEMENTS.name(message.judgement).lower()),
        code=message.code,
        reason=message.reason,
        cost_micro_usd=message.estimated_cost_micro_usd if message.HasField("estimated_cost_micro_usd") else None,
    )


def _degradation_level(message: selection_pb2.Selection) -> DegradationLevel:
    """Returns the level of a selection; earlier versions set its name alone."""
    if message.degradation:
        return DegradationLevel(message.degradation)  # the numbers are the same
    return DegradationLevel.__members__.get(message.degradation_level, DegradationLevel.UNKNOWN)


def attempt_from_proto(execution: job_pb2.Execution) -> Attempt:
    """Returns an execution as an attempt."""
    return Attempt(
        execution_id=execution.execution_id,
        step_id=execution.step_id,
        step_type=execution.step_type,
        attempt=execution.attempt,
        capability_id=f"{execution.tool_id}@{execution.provider}",
        status=AttemptStatus(_STATUSES.name(execution.status).lower()),
        selection_id=execution.selection_id,
        evaluation_id=execution.evaluation_id,
        asset_ids=tuple(execution.asset_ids),
        fallback_reason=execution.fallback_reason,
        rework_reason=execution.rework_reason,
        error_code=execution.error_code,
        error_message=execution.error_message,
        cost_micro_usd=execution.cost_micro_usd,
        latency_ms=execution.latency_ms,
        quality=execution.quality_score if execution.HasField("quality_score") else None,
        trace_id=execution.trace_id,
        span_id=execution.span_id,
        started_ms=_ms(execution.start_time),
        ended_ms=_ms(execution.end_time),
    )


def evaluation_from_proto(evaluation: Evaluation) -> EvaluationSummary:
    """Returns the summary of an evaluation."""
    return EvaluationSummary(
        evaluation_id=evaluation.evaluation_id,
        execution_id=evaluation.execution_id,
        passes=evaluation.passes,
        score=evaluation.score,
        faults=tuple(feedback.message for feedback in evaluation.feedback),
        evaluator=evaluation.evaluator,
        cost_micro_usd=evaluation.cost_micro_usd,
        elapsed_ms=evaluation.elapsed_ms,
        judged_ms=_ms(evaluation.create_time),
        criteria={criterion.dimension: criterion.score for criterion in evaluation.criteria},
    )


def asset_from_proto(message: Asset) -> AssetSummary:
    """Returns the summary of an asset."""
    return AssetSummary(message.asset_id, message.origin.execution_id, message.checksum_sha256)


def stored_asset_from_proto(asset: Asset, stored_at: datetime) -> StoredAsset:
    """Returns what an asset's own event says."""
    return StoredAsset(
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


def creation_from_proto(finished: ExecutionFinished, redactor: Redactor, *, full_prompt: bool) -> AssetCreation:
    """Returns how an attempt created its assets; the full prompt only where policy allows it."""
    execution = finished.execution
    return AssetCreation(
        attempt=attempt_from_proto(execution),
        job_id=execution.job_id,
        model=execution.model,
        subject=finished.subject,
        parent_ids=tuple(finished.input_asset_ids),
        params=json_object(execution.params),
        prompt_summary=redactor.summary(finished.prompt),
        redactions={kind: count for kind, count in redactor.counts.items() if count},
        prompt=finished.prompt if full_prompt else "",
        request_id=execution.request_id,
    )


def job_from_proto(message: job_pb2.Job) -> JobSummary:
    """Returns the summary of a job; its steps in the order of the plan, as they are listed."""
    return JobSummary(
        job_id=message.job_id,
        state=_JOB_STATES.name(message.state).lower(),
        ended=message.state in _ENDED,
        steps=tuple(replace(step_from_proto(each), step_index=index) for index, each in enumerate(message.steps)),
        trace_id=message.trace_id,
        title=message.title,
        message=message.message,
        created_ms=_ms(message.create_time),
        started_ms=_ms(message.start_time),
        ended_ms=_ms(message.end_time),
        step_count=message.step_count,
    )


def step_from_proto(message: job_pb2.Step) -> StepSummary:
    """Returns the summary of a step."""
    return StepSummary(
        step_id=message.step_id,
        step_type=message.step_type,
        state=StepState(_STEP_STATES.name(message.state).lower()),
        attempts=message.attempts,
        message=message.message,
        step_index=message.step_index,
        cost_micro_usd=message.cost_micro_usd,
    )


def _ms(time: Timestamp) -> int:
    """Returns milliseconds since 1970; 0 for a time that is not set."""
    return time.ToMilliseconds()
