"""Reads the figures of a receipt out of the messages of a job's facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import moment
from soma.assets.v1.asset_pb2 import Asset
from soma.critic.v1.critic_service_pb2 import Evaluation
from soma.executor.v1 import job_pb2
from soma.selector.v1.selection_pb2 import JUDGEMENT_POLICY, Selection
from svc_provenance.domain.model import Attempt, JobSummary, Kind
from svc_provenance.domain.receipts import AttemptFigures, EvaluationFigures, Figures, JobEnd, SelectionFigures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.domain.model import Fact

_STATUSES = EnumCodec(job_pb2.ExecutionStatus)
_LEVELS = {"NONE": 0, "MINOR": 1, "MODERATE": 2, "SEVERE": 3, "CRITICAL": 4, "UNKNOWN": 5}


def figures(facts: Sequence[Fact]) -> Figures | None:
    """The figures of a job; None while it has not ended."""
    documents = {kind: [fact.document for fact in facts if fact.kind is kind] for kind in Kind}
    run = next((fact for fact in facts if isinstance(fact.summary, JobSummary)), None)
    if run is None or not isinstance(run.summary, JobSummary) or not run.summary.ended:
        return None
    job = job_pb2.Job.FromString(run.document)
    executions = [
        job_pb2.Execution.FromString(fact.document)
        for fact in sorted((fact for fact in facts if isinstance(fact.summary, Attempt)), key=_place)
    ]
    assets = map(Asset.FromString, documents[Kind.ASSET])
    return Figures(
        ending=JobEnd(
            job_id=job.job_id,
            state=run.summary.state,
            started_at=moment(job.start_time),
            ended_at=moment(job.end_time) or run.occurred_at,
        ),
        selections=tuple(map(_selection_figures, map(Selection.FromString, documents[Kind.SELECTION]))),
        attempts=tuple(map(_attempt, executions)),
        evaluations=tuple(map(_evaluation_figures, map(Evaluation.FromString, documents[Kind.EVALUATION]))),
        asset_digests={asset.asset_id: asset.checksum_sha256 for asset in assets if asset.checksum_sha256},
    )


def _place(fact: Fact) -> tuple[int, str, int]:
    """Attempts in the order in which they ended; those of one step by their numbers where senders gave no order."""
    attempt = fact.summary
    return (fact.sequence, attempt.step_id, attempt.attempt) if isinstance(attempt, Attempt) else (0, "", 0)


def _selection_figures(selection: Selection) -> SelectionFigures:
    chosen = selection.chosen.capability_id
    ranked = next((item for item in selection.ranked if item.capability_id == chosen), None)
    return SelectionFigures(
        selection_id=selection.selection_id,
        candidates=len(selection.ranked),
        predicted=ranked.score if ranked is not None and ranked.HasField("score") else None,
        degradation=_LEVELS.get(selection.degradation_level, 0),
        denied=any(item.judgement == JUDGEMENT_POLICY for item in selection.rejected),
    )


def _attempt(execution: job_pb2.Execution) -> AttemptFigures:
    status = _STATUSES.name(execution.status).lower()
    return AttemptFigures(
        step_id=execution.step_id,
        attempt=execution.attempt,
        capability_id=f"{execution.tool_id}@{execution.provider}",
        status=status,
        error_code=execution.error_code,
        selection_id=execution.selection_id,
        execution_id=execution.execution_id,
        evaluation_id=execution.evaluation_id,
        quality=execution.quality_score if execution.HasField("quality_score") else None,
        cost_micro_usd=execution.cost_micro_usd,
        latency_ms=execution.latency_ms,
    )


def _evaluation_figures(evaluation: Evaluation) -> EvaluationFigures:
    return EvaluationFigures(
        evaluation_id=evaluation.evaluation_id,
        score=evaluation.score,
        criteria={item.dimension: item.score for item in evaluation.criteria},
    )
